"""How fast to ask: concurrency that grows while answers come and halves on trouble, ceilings, and when to give up."""

import asyncio
import logging
import time
from typing import NamedTuple

from factory.config.apis import ApiEngine
from factory.engines.api.failures import Failure
from factory.engines.api.spending import EngineSpending, Reservation, Size, out_of_money
from factory.errors import EngineError

START, MOST = 8, 64
"""Requests in flight to begin with and at most, where no ceiling is given."""
UNHEARD_SECONDS = {"unreachable": 5.0, "broken": 120.0}
"""Patience with a server that never answered: most likely its address is wrong, or it is no such server."""
SAY_SECONDS = 20.0
"""Trouble that lasts longer is told."""
SERVER_AT_FAULT = 5
"""Failures that a prompt may have caused count as the server's only when this many prompts had them."""
BACKOFF, LONGEST_BACKOFF = 0.5, 60.0
"""First wait, seconds, and the longest it doubles up to."""


_log = logging.getLogger(__name__)


class Clock:
    """The time it is; a test has another one, so that it need not wait."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait inside the event loop."""
        await asyncio.sleep(seconds)

    def wait(self, seconds: float) -> None:
        """Wait outside of it."""
        time.sleep(seconds)


def backoff(tries: int) -> float:
    """Seconds to wait after so many failures in a row, from 1."""
    # The exponent is bounded, as 2.0 ** 1024 is an OverflowError.
    return min(BACKOFF * 2.0 ** min(tries - 1, 30), LONGEST_BACKOFF)


class Patience:
    """How long trouble is borne, from its first failure on."""

    def __init__(self, block: ApiEngine, began: float) -> None:
        self._seconds, self._began = block.patience * 60, began
        self._told = False
        self.tries = 0
        """Failures after which the server did not say when to come back."""

    def over(self, failure: Failure, now: float, heard: bool) -> bool:
        """Whether it is at its end; `heard` says whether the server ever answered.

        A longer wait that the server itself asked for is waited once: the failure after it ends it.
        """
        most = self._seconds if heard else min(self._seconds, UNHEARD_SECONDS.get(failure.kind, self._seconds))
        return now - self._began >= most

    def tell(self, failure: Failure, now: float, server: str) -> None:
        """Once, when trouble lasts."""
        if not self._told and now - self._began >= SAY_SECONDS:
            self._told = True
            _log.warning(
                "%s gives no answer (%s); it is asked on for up to %g minutes (engine.patience)",
                server,
                failure.message,
                self._seconds / 60,
            )

    def minutes(self, now: float) -> float:
        """How long there was no answer."""
        return (now - self._began) / 60


class Slot(NamedTuple):
    """One request's place among those in flight."""

    number: int
    size: Size
    reservation: Reservation


class Stopped(Exception):  # noqa: N818 - no error: the reason is in RateLimiter.stopped
    """No further request may be sent."""


class RateLimiter:
    """Lets requests out in the order they came, when concurrency, waits, ceilings and money allow.

    Additive increase, multiplicative decrease: from START, or all that the user allows, a slot more per answer until
    the first trouble, then one more per window of answers; on trouble half the slots, once per window. Lives in one
    event loop.
    """

    def __init__(self, block: ApiEngine, clock: Clock, spending: EngineSpending, server: str) -> None:
        self._block, self._clock, self._server = block, clock, server
        self._most = float(block.max_concurrency or MOST)
        self.limit = float(block.max_concurrency or START)
        self.in_flight = 0
        self.stopped: EngineError | None = None
        self.spending = spending
        self._first_in_line, self._changed = asyncio.Lock(), asyncio.Event()
        self._sleepers: set[asyncio.Future[None]] = set()
        self._growing_fast, self._ever_answered = True, False
        self._sent, self._sent_at_halving = 0, 0
        self._patience: Patience | None = None
        self._failing: set[str] = set()
        self._pause_until = self._next_request = self._next_token = clock.now()

    async def enter(self, size: Size) -> Slot:
        """Wait for a slot. Raises Stopped when there will be none."""
        # The lock makes one task the next to go: otherwise all waiters wake at every answer, and any of them wins.
        async with self._first_in_line:
            while True:
                self._check_money(size)
                if self.stopped:
                    raise Stopped
                if self.in_flight >= int(self.limit) or self.spending.refusal(self.spending.most(size)):
                    # Nothing is awaited between the look and this, so that no change is missed.
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                wait = max(self._pause_until, self._next_request, self._next_token) - self._clock.now()
                if wait <= 0:
                    return self._send(size)
                await self.sleep(wait)

    def leave(self, slots: int = 1) -> None:
        """Give slots back."""
        self.in_flight -= slots
        self._changed.set()

    def answered(self, slot: Slot, sent: int | None, received: int | None) -> None:
        """An answer came, using so many tokens."""
        self._server_is_well()
        used = self.spending.spend(slot.size, slot.reservation.money, sent, received)
        if self._block.tokens_per_minute:
            # The reservation was a guess: what it was off by is made up for before the next request.
            self._next_token += (used - slot.reservation.tokens) * 60 / self._block.tokens_per_minute
        step = 1.0 if self._growing_fast else 1.0 / self.limit
        self.limit = min(self.limit + step, self._most)

    def refused(self, slot: Slot, failure: Failure) -> None:
        """The server is well and does not answer this request."""
        self._server_is_well()
        self.release(slot, failure)

    def troubled(self, slot: Slot, request_id: str, failure: Failure) -> None:
        """A failure that says the server cannot keep up, or is not there."""
        self._failing.add(request_id)
        self.release(slot, failure)
        if failure.retry_after is not None:
            self._pause(failure.retry_after)
        if slot.number <= self._sent_at_halving:
            return  # sent before the last halving: the same trouble, seen once more
        self._growing_fast, self._sent_at_halving = False, self._sent
        self.limit = max(1.0, self.limit / 2)
        patience = self._patience = self._patience or Patience(self._block, self._clock.now())
        patience.tries += failure.retry_after is None
        # A first broken answer may be one prompt's doing; waiting would hold up all others for it.
        if failure.retry_after is None and (patience.tries > 1 or failure.kind != "broken"):
            self._pause(backoff(patience.tries))
        patience.tell(failure, self._clock.now(), self._server)
        self._give_up(failure, patience)

    def release(self, slot: Slot, failure: Failure) -> None:
        """Take back what was set aside for a request that failed, unless the server may charge for it."""
        self.spending.release(slot.reservation.money, slot.reservation.money if failure.charged else 0.0)

    @property
    def down(self) -> bool:
        """Whether so many prompts failed without an answer between them that it is the server's doing, not theirs."""
        return len(self._failing) >= SERVER_AT_FAULT

    def stop(self, reason: EngineError) -> None:
        """Send nothing more; what is in flight may land. The first reason stays."""
        self.stopped = self.stopped or reason
        self._changed.set()
        for sleeper in self._sleepers:
            sleeper.cancel()

    async def sleep(self, seconds: float) -> None:
        """Wait, unless everything stops first."""
        # A task of its own, so that `stop` can end the wait without cancelling the request that waits.
        sleeper = asyncio.ensure_future(self._clock.sleep(seconds))
        self._sleepers.add(sleeper)
        try:
            await sleeper
        except asyncio.CancelledError:
            # Cancelled by `stop`, which means go on and see; cancelled from outside it must go through.
            if self.stopped is None:
                raise
        finally:
            self._sleepers.discard(sleeper)

    def _send(self, size: Size) -> Slot:
        now, reservation = self._clock.now(), self.spending.reserve(size)
        if self._block.requests_per_minute:
            # From now at the earliest: minutes without a request must not be saved up and spent in one burst.
            self._next_request = max(self._next_request, now) + 60 / self._block.requests_per_minute
        if self._block.tokens_per_minute:
            self._next_token = max(self._next_token, now) + reservation.tokens * 60 / self._block.tokens_per_minute
        self.in_flight += 1
        self._sent += 1
        return Slot(self._sent, size, reservation)

    def _server_is_well(self) -> None:
        self._ever_answered, self._patience = True, None
        self._failing.clear()
        self._changed.set()

    def _pause(self, seconds: float) -> None:
        self._pause_until = max(self._pause_until, self._clock.now() + seconds)

    def _check_money(self, size: Size) -> None:
        money = self.spending.most(size)
        # While others are in flight their settlement may make room, as each was booked at its longest.
        if self.in_flight == 0 and (short := self.spending.refusal(money)):
            self.stop(EngineError(out_of_money(short, money, "the next request")))

    def _give_up(self, failure: Failure, patience: Patience) -> None:
        now, is_server = self._clock.now(), failure.kind in ("throttled", "unreachable") or self.down
        if not is_server or not patience.over(failure, now, self._ever_answered):
            return
        if failure.kind == "unreachable" and not self._ever_answered:
            self.stop(
                EngineError(f"{self._server} cannot be reached ({failure.message}); check base_url and the server")
            )
            return
        self.stop(
            EngineError(
                f"{self._server} gave no answer for {patience.minutes(now):,.3g} minutes ({failure.message}); "
                "what has arrived is kept, the same command goes on from here"
            )
        )
