"""Requests to an OpenAI-compatible server, many in flight, each answer out as soon as it lands."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from factory.config.engines import OpenaiEngine
from factory.engines.api.ledger import EngineLedger, Size, size_of
from factory.engines.api.pace import Clock, Pacer, Stopped, Ticket, backoff
from factory.engines.api.place import Place
from factory.engines.api.wire import Dialect, Failure, dialect, read_answer
from factory.engines.base import Completion, Request
from factory.errors import EngineError
from factory.identity import draw

ALIKE = 20
"""So many refusals with one and the same message, and not one answer, mean that every request is refused."""

_log = logging.getLogger(__name__)


class _Flight:
    """One call of `generate`: what has landed, and the places it holds."""

    def __init__(self, pacer: Pacer) -> None:
        self.pacer = pacer
        self.landed: SimpleQueue[Completion | BaseException | None] = SimpleQueue()
        self.task: asyncio.Task[None] | None = None
        self._held = 0

    async def enter(self, size: Size) -> Ticket:
        ticket = await self.pacer.enter(size)
        self._held += 1
        return ticket

    def leave(self) -> None:
        if self._held:
            self._held -= 1
            self.pacer.leave()

    def over(self, task: asyncio.Task[None]) -> None:
        """The last item of `landed`: None, or why there is no more."""
        self.pacer.leave(self._held)
        self._held = 0
        failed = None if task.cancelled() else task.exception()
        self.landed.put(failed or self.pacer.stopped)


class Live:
    """One asynchronous client in a thread of its own, from the first request until `close`."""

    def __init__(self, block: OpenaiEngine, place: Place, clock: Clock) -> None:
        self._block, self._place, self._clock = block, place, clock
        self._dialect, self.ledger = dialect(block), EngineLedger(block)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Any = None
        self._pacer: Pacer | None = None
        self._answered = False
        self._refusals: Counter[str] = Counter()

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield a completion per request as they land.

        A place in flight is free again once the caller asks for the next completion, that is, once it has dealt with
        the last one: a kill loses no more answers than there are places. Raises EngineError, after what had been sent
        has landed, when no further request can be answered.
        """
        loop, flight = self._launch(requests)
        try:
            while (item := flight.landed.get()) is not None:
                if not isinstance(item, Completion):
                    raise item
                yield item
                loop.call_soon_threadsafe(flight.leave)
        finally:
            if flight.task is not None and not flight.task.done():
                loop.call_soon_threadsafe(flight.task.cancel)
                while isinstance(flight.landed.get(), Completion):
                    pass

    def close(self) -> None:
        """Close the connections and end the thread."""
        self.ledger.close()
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = self._client = self._pacer = None

    def _launch(self, requests: Sequence[Request]) -> tuple[asyncio.AbstractEventLoop, _Flight]:
        if self._loop is None:
            self._client = self._place.connect(self._block.timeout)
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="openai-engine", daemon=True)
            self._thread.start()
        if self._pacer is None or self._pacer.stopped:
            self._pacer = Pacer(self._block, self._clock, self.ledger, self._place.shown)
        loop, flight, started = self._loop, _Flight(self._pacer), threading.Event()

        def start() -> None:
            flight.task = loop.create_task(self._fly(requests, flight))
            flight.task.add_done_callback(flight.over)
            started.set()

        loop.call_soon_threadsafe(start)
        started.wait()
        return loop, flight

    async def _fly(self, requests: Sequence[Request], flight: _Flight) -> None:
        async with asyncio.TaskGroup() as group:
            try:
                for request in requests:
                    ticket = await flight.enter(size_of(request))
                    group.create_task(self._answer(request, ticket, flight))
            except Stopped:
                return

    async def _answer(self, request: Request, ticket: Ticket, flight: _Flight) -> None:
        """Ask until there is an answer or no sense in asking on. The place is given back between two tries."""
        tries = 0
        while True:
            result = await self._ask(request)
            if isinstance(result, Completion):
                self._answered = True
                flight.pacer.answered(ticket, result.prompt_tokens, result.completion_tokens)
            elif result.kind == "refused":
                flight.pacer.refused(ticket, result)
                self._count_refusal(result, flight.pacer)
                result = Completion(request.id, None, error=result.message)
            elif result.kind == "fatal":
                flight.pacer.stop(EngineError(result.message))
                return
            else:
                tries += result.kind == "broken"
                flight.pacer.troubled(ticket, request.id, result)
                if tries <= self._block.max_retries or flight.pacer.down:
                    flight.leave()
                    try:
                        ticket = await self._again(request, tries, result, flight)
                    except Stopped:
                        return
                    continue
                result = Completion(request.id, None, error=f"{result.message} (asked {tries} times)")
            flight.landed.put(result)
            return

    async def _ask(self, request: Request) -> Completion | Failure:
        """One try, and another at once when the server refused a field that it can do without."""
        while True:
            used = self._dialect
            body = used.body(request, self._place.model, self._block.extra_body)
            payload = await self._place.ask(self._client, body, self._block.timeout)
            if not isinstance(payload, Failure):
                return read_answer(request, payload, self._block.prices)
            if payload.kind != "refused" or not self._adapt(used, payload):
                return payload

    def _adapt(self, used: Dialect, failure: Failure) -> bool:
        """Whether to ask once more because the server may take the body as it would be written now."""
        if used == self._dialect:
            following = used.after(failure.error, failure.message)
            if following is None:
                return False
            _log.info("%s: %s; going on without it", self._place.shown, failure.message)
            self._dialect = following
        return True

    async def _again(self, request: Request, tries: int, failure: Failure, flight: _Flight) -> Ticket:
        if failure.kind == "broken" and failure.retry_after is None:
            jitter = 0.75 + 0.5 * draw(request.id, tries) / 2**63
            await flight.pacer.sleep(backoff(tries) * jitter)
        return await flight.enter(size_of(request))

    def _count_refusal(self, failure: Failure, pacer: Pacer) -> None:
        if self._answered or failure.message.startswith(("context_length_exceeded", "content_filter")):
            return
        self._refusals[failure.message] += 1
        if self._refusals[failure.message] >= ALIKE:
            said = f"{self._place.shown} refused each of the first {ALIKE} requests alike: {failure.message}"
            pacer.stop(EngineError(f"{said}; check engine and sampling in the config"))
