"""Requests to a server, many in flight, each answer out as soon as it lands."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from factory.config.apis import ApiEngine
from factory.engines.api.endpoint import Endpoint
from factory.engines.api.failures import Failure
from factory.engines.api.rate_limiter import Clock, RateLimiter, Slot, Stopped, backoff
from factory.engines.api.spending import EngineSpending, Size, size_of
from factory.engines.api.wire import BodyFields, completion
from factory.engines.base import Completion, Request
from factory.errors import EngineError
from factory.identity import draw

ALIKE = 20
"""So many refusals with one and the same message, and not one answer, mean that every request is refused."""

_log = logging.getLogger(__name__)


class _Call:
    """One call of `generate`: its results so far, and the slots it holds."""

    def __init__(self, limiter: RateLimiter) -> None:
        self.limiter = limiter
        self.results: SimpleQueue[Completion | BaseException | None] = SimpleQueue()
        self.task: asyncio.Task[None] | None = None
        self._held = 0

    async def enter(self, size: Size) -> Slot:
        slot = await self.limiter.enter(size)
        self._held += 1
        return slot

    def leave(self) -> None:
        if self._held:
            self._held -= 1
            self.limiter.leave()

    def over(self, task: asyncio.Task[None]) -> None:
        """The last item of `results`: None, or why there is no more."""
        # Slots that nobody will give back, because the caller went away, would slow every later call down.
        self.limiter.leave(self._held)
        self._held = 0
        failed = None if task.cancelled() else task.exception()
        # What ended the tasks, such as an account that cannot be written; the group says only that something did.
        if isinstance(failed, BaseExceptionGroup):
            failed = failed.exceptions[0]
        self.results.put(failed or self.limiter.stopped)


class AsyncRequests:
    """One asynchronous client in a thread of its own, from the first request until `close`."""

    def __init__(self, block: ApiEngine, endpoint: Endpoint, clock: Clock) -> None:
        self._block, self._endpoint, self._clock = block, endpoint, clock
        self._fields, self.spending = endpoint.dialect.fields(block), EngineSpending(block)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Any = None
        self._limiter: RateLimiter | None = None
        self._answered = False
        self._refusals: Counter[str] = Counter()

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield a completion per request as they land.

        A slot is free again once the caller asks for the next completion, that is, once it has dealt with
        the last one: a kill loses no more answers than there are slots. Raises EngineError, after what had been sent
        has been answered, when no further request can be answered.
        """
        loop, call = self._start(requests)
        try:
            while (item := call.results.get()) is not None:
                if not isinstance(item, Completion):
                    raise item
                yield item
                # Limiter and tasks belong to the loop's thread; asyncio has no locks against another one.
                loop.call_soon_threadsafe(call.leave)
        finally:
            if call.task is not None and not call.task.done():
                loop.call_soon_threadsafe(call.task.cancel)
                # Until the last item: a task that still ran would use the limiter beside the next call.
                while isinstance(call.results.get(), Completion):
                    pass

    def close(self) -> None:
        """Close the connections and end the thread."""
        self.spending.close()
        if self._loop is None or self._thread is None:
            return
        # Closed on the loop that opened its connections, before that stops: they are bound to it.
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = self._client = self._limiter = None

    def _start(self, requests: Sequence[Request]) -> tuple[asyncio.AbstractEventLoop, _Call]:
        if self._loop is None:
            self._client = self._endpoint.connect()
            self._loop = asyncio.new_event_loop()
            # The loop needs a thread of its own: the caller's is busy with each answer, and what is in flight has to go
            # on meanwhile. A daemon, lest a run that fails waits for a server.
            self._thread = threading.Thread(target=self._loop.run_forever, name="api-engine", daemon=True)
            self._thread.start()
        if self._limiter is None or self._limiter.stopped:
            self._limiter = RateLimiter(self._block, self._clock, self.spending, self._endpoint.shown)
        loop, call, started = self._loop, _Call(self._limiter), threading.Event()

        def start() -> None:
            call.task = loop.create_task(self._send_all(requests, call))
            call.task.add_done_callback(call.over)
            started.set()

        loop.call_soon_threadsafe(start)
        # Waited for, because `generate` reads call.task from this thread.
        started.wait()
        return loop, call

    async def _send_all(self, requests: Sequence[Request], call: _Call) -> None:
        # A group, so that an exception in one task cancels the others instead of being dropped when it is collected.
        async with asyncio.TaskGroup() as group:
            try:
                for request in requests:
                    slot = await call.enter(size_of(request))
                    group.create_task(self._answer(request, slot, call))
            except Stopped:
                return

    async def _answer(self, request: Request, slot: Slot, call: _Call) -> None:
        """Ask until there is an answer or no sense in asking on. The slot is given back between two tries."""
        tries = 0
        while True:
            result = await self._ask(request)
            if isinstance(result, Completion):
                self._answered = True
                call.limiter.answered(slot, result.prompt_tokens, result.completion_tokens)
            elif result.kind == "refused":
                call.limiter.refused(slot, result)
                self._count_refusal(result, call.limiter)
                result = Completion(request.id, None, error=result.message)
            elif result.kind == "fatal":
                call.limiter.release(slot, result)
                call.limiter.stop(EngineError(result.message))
                return
            else:
                # Only what may be the prompt's doing counts against it; a server that is away is waited for.
                tries += result.kind == "broken"
                call.limiter.troubled(slot, request.id, result)
                if tries <= self._block.max_retries or call.limiter.down:
                    call.leave()
                    try:
                        slot = await self._again(request, tries, result, call)
                    except Stopped:
                        return
                    continue
                result = Completion(request.id, None, error=f"{result.message} (asked {tries} times)")
            call.results.put(result)
            return

    async def _ask(self, request: Request) -> Completion | Failure:
        """One try, and another at once when the server refused a field that it can do without."""
        while True:
            used = self._fields
            body = used.body(request, self._endpoint.model, self._block.extra_body)
            payload = await self._endpoint.ask(self._client, body, self._block.timeout)
            if not isinstance(payload, Failure):
                return completion(self._endpoint.dialect.read, request, payload, self._block.prices)
            if payload.kind != "refused" or not self._adapt(used, payload):
                return payload

    def _adapt(self, used: BodyFields, failure: Failure) -> bool:
        """Whether to ask once more because the server may take the body as it would be written now."""
        # Many requests in flight are refused for one field; only the first changes it, the others just go again.
        if used == self._fields:
            following = used.without_refused(failure.error, failure.message)
            if following is None:
                return False
            lost = following.lost
            level = logging.WARNING if lost else logging.INFO
            _log.log(level, "%s: %s; %s", self._endpoint.shown, failure.message, lost or "going on without it")
            self._fields = following
        return True

    async def _again(self, request: Request, tries: int, failure: Failure, call: _Call) -> Slot:
        if failure.kind == "broken" and failure.retry_after is None:
            # Those that failed together would come back together; drawn from the request's id, so that a run can be
            # repeated.
            jitter = 0.75 + 0.5 * draw(request.id, tries) / 2**63
            await call.limiter.sleep(backoff(tries) * jitter)
        return await call.enter(size_of(request))

    def _count_refusal(self, failure: Failure, limiter: RateLimiter) -> None:
        # These are a prompt's own fault, however many prompts have it.
        if self._answered or failure.message.startswith(("context_length_exceeded", "content_filter")):
            return
        self._refusals[failure.message] += 1
        if self._refusals[failure.message] >= ALIKE:
            said = f"{self._endpoint.shown} refused each of the first {ALIKE} requests alike: {failure.message}"
            limiter.stop(EngineError(f"{said}; check engine and sampling in the config"))
