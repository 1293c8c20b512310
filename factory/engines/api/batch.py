"""OpenAI's Batch API as a Generator: files of requests, answered within a day at a lower price."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from factory.config.apis import OpenaiEngine
from factory.engines.api.batch_client import BatchClient, BatchFolder, Sent, ServerBatch, folder_of
from factory.engines.api.endpoint import Endpoint
from factory.engines.api.failures import Failure, short_line
from factory.engines.api.openai import RequestFields, request_fields
from factory.engines.api.rate_limiter import Clock
from factory.engines.api.spending import EngineSpending, out_of_money, size_of
from factory.engines.api.wire import completion
from factory.engines.base import Completion, Request
from factory.errors import EngineError
from factory.identity import digest

MOST_REQUESTS = 50_000
"""Requests in one file."""
MOST_BYTES = 200_000_000
"""Size of one file."""

_MOST_LINES = 100
"""So many lines a request are read: some may be garbled, twice there, or of nobody's request."""
_LONGEST_SECONDS = 48 * 3600.0
"""A batch is answered or expires within a day; when twice that has passed since the last one ended, none will be."""


class _File(NamedTuple):
    keys: list[str]
    content: bytes


class Batches:
    """Sends requests in files and polls. Batches under way are found again after a kill, by a file each in a folder.

    The folder is `cache_dir`/batches, or sso-factory/batches in the user's cache. Answers are joined to requests by
    custom_id, the request's key; those that expired or failed for a passing cause are sent again.
    """

    def __init__(self, block: OpenaiEngine, endpoint: Endpoint, clock: Clock) -> None:
        self._block, self._endpoint, self._clock = block, endpoint, clock
        self._folder = BatchFolder(folder_of(block))
        self._fields, self.spending = request_fields(block), EngineSpending(block)
        self._used: dict[str, RequestFields] = {}
        self._tries: Counter[str] = Counter()
        self._client = BatchClient(block, endpoint, clock)

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield a completion per request, batch by batch. Raises EngineError when a batch is turned down."""
        wanted = {request.key(self._endpoint.identity): request for request in requests}
        under_way = self._resume(wanted)
        asked = {key for sent in under_way for key in sent.keys}
        waiting = [key for key in wanted if key not in asked]
        held: list[str] = []
        began = self._clock.now()
        while waiting or under_way:
            room = self._affordable(waiting, wanted, bool(under_way))
            held += waiting[room:]
            under_way += self._submit(waiting[:room], wanted)
            waiting = []
            for sent, batch in self._ended(under_way):
                under_way.remove(sent)
                began = self._clock.now()
                if batch.status == "failed":
                    self._drop(sent)
                    self._check_room(batch, bool(under_way))
                    held += [key for key in sent.keys if key in wanted]
                    continue
                yield from self._land(sent, batch, wanted, waiting)
                self._drop(sent)
                waiting, held = waiting + held, []
            if under_way and not waiting:
                self._await(began)

    def _await(self, began: float) -> None:
        if self._clock.now() - began > _LONGEST_SECONDS:
            raise EngineError(
                f"{self._endpoint.shown} has not ended its batches after {_LONGEST_SECONDS / 3600:.0f} hours; "
                "the same command goes on waiting for them"
            )
        self._clock.wait(self._block.batch_poll_seconds)

    def close(self) -> None:
        """Close the connections."""
        self.spending.close()
        self._client.close()

    def _resume(self, wanted: Mapping[str, Request]) -> list[Sent]:
        found = []
        for sent in self._folder.find(self._endpoint.identity, wanted.keys()):
            self.spending.recover(sent.money)
            if sent.batch is None:
                sent.batch = self._client.find(sent.mark)
            if sent.batch is None:
                self._drop(sent)
            else:
                self._folder.write(sent)
                found.append(sent)
        return found

    def _submit(self, keys: Iterable[str], wanted: Mapping[str, Request]) -> list[Sent]:
        sent = []
        for file in _files(self._line(key, wanted[key]) for key in keys):
            # With the time: the same requests may be sent again after they expired, and must not find their old batch.
            mark = digest([self._endpoint.identity, file.keys, time.time_ns()])
            money = sum(self.spending.most(size_of(wanted[key])) for key in file.keys)
            batch = Sent(mark, self._endpoint.identity, file.keys, money=money)
            uploaded = self._client.upload(f"{mark}.jsonl", file.content)
            self.spending.set_aside(batch.money)
            self._folder.write(batch)
            # Written down before and after: a kill in between leaves a mark by which the batch is found at the server,
            # instead of paid for twice.
            batch.batch = self._client.create(uploaded, mark)
            self._folder.write(batch)
            self._used[mark] = self._fields
            sent.append(batch)
        return sent

    def _line(self, key: str, request: Request) -> tuple[str, bytes]:
        body = self._fields.body(request, self._endpoint.model, self._block.extra_body)
        line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
        return key, json.dumps(line).encode() + b"\n"

    def _ended(self, under_way: Sequence[Sent]) -> Iterator[tuple[Sent, ServerBatch]]:
        for sent in list(under_way):
            batch = self._client.retrieve(sent.batch or "")
            if batch.ended:
                yield sent, batch

    def _land(
        self, sent: Sent, batch: ServerBatch, wanted: dict[str, Request], waiting: list[str]
    ) -> Iterator[Completion]:
        """Yield what the batch brought for requests still wanted; keys to send again go into `waiting`."""
        self._pay(sent, batch, wanted)
        again: dict[str, Failure] = {}
        for key, result in self._results(sent, batch, wanted):
            if key not in wanted:
                continue
            if isinstance(result, Failure):
                again[key] = result
                continue
            again.pop(key, None)
            yield replace(result, id=wanted.pop(key).id)
        for key in sent.keys:
            if key not in wanted:
                continue
            failure = again.get(key, Failure("broken", "the batch brought no answer"))
            if self._passing(key, failure, self._used.get(sent.mark, request_fields(self._block))):
                waiting.append(key)
            else:
                yield Completion(wanted.pop(key).id, None, error=failure.message)

    def _pay(self, sent: Sent, batch: ServerBatch, wanted: Mapping[str, Request]) -> None:
        """Count what a batch came to, once and all of it, whoever waits for its answers still."""
        if sent.paid:
            return
        each = sent.money / len(sent.keys)
        most = {key: self.spending.most(size_of(wanted[key])) if key in wanted else each for key in sent.keys}
        # What a batch that was completed says nothing of may have been worked for; of one that was not, it was not.
        came = dict(most) if batch.status == "completed" else {}
        for key, result in self._results(sent, batch, wanted):
            if isinstance(result, Failure):
                came[key] = most[key] if result.charged else 0.0
            elif key in wanted:
                came[key] = self.spending.learn(size_of(wanted[key]), result.prompt_tokens, result.completion_tokens)[1]
            else:
                came[key] = most[key] if result.cost is None else result.cost
        # Written down first: of a kill in between the most stays counted, and nothing twice.
        aside, sent.money, sent.paid = sent.money, 0.0, True
        self._folder.write(sent)
        self.spending.release(aside, sum(came.values()))

    def _results(
        self, sent: Sent, batch: ServerBatch, wanted: Mapping[str, Request]
    ) -> Iterator[tuple[str, Completion | Failure]]:
        """What the lines say of the requests of a batch, until each has its answer; unreadable ones say nothing."""
        unanswered = set(sent.keys)
        for file in batch.files:
            for record in self._client.records(file, _MOST_LINES * len(sent.keys)):
                key = record.get("custom_id")
                if isinstance(key, str) and key in unanswered:
                    result = self._result(wanted.get(key) or Request(key, [], 0), record)
                    if isinstance(result, Completion):
                        unanswered.remove(key)
                    yield key, result

    def _result(self, request: Request, record: Mapping[str, Any]) -> Completion | Failure:
        response, error = record.get("response"), record.get("error")
        if not isinstance(response, dict):
            said = error.get("message") if isinstance(error, dict) else None
            return Failure("broken", short_line(said or "the batch brought no answer"))
        status, body = response.get("status_code"), response.get("body")
        if status == 200:
            return completion(self._endpoint.dialect.read, request, body, self._block.prices)
        if not isinstance(status, int):
            return Failure("broken", "the batch brought an answer without a status", charged=True)
        return self._endpoint.refusal(status, body, {})

    def _passing(self, key: str, failure: Failure, used: RequestFields) -> bool:
        """Whether to send the request again; `used` is how it was written."""
        if failure.kind == "fatal":
            raise EngineError(failure.message)
        if failure.kind == "refused":
            if used == self._fields:
                self._fields = used.without_refused(failure.error, failure.message) or used
            return used != self._fields
        self._tries[key] += 1
        return self._tries[key] <= self._block.max_retries

    def _check_room(self, batch: ServerBatch, others: bool) -> None:
        """Return where the batch was turned down for want of room that another one will make; raise otherwise."""
        if others and batch.code == "token_limit_exceeded":
            return
        raise EngineError(
            f"{self._endpoint.shown} turned the batch {batch.id} down: {batch.message or 'no reason given'}"
        )

    def _affordable(self, keys: Sequence[str], wanted: Mapping[str, Request], others: bool) -> int:
        """How many of `keys` may be sent now. Raises EngineError when none may, and no other batch will free money."""
        money = 0.0
        for number, key in enumerate(keys):
            money += self.spending.most(size_of(wanted[key]))
            if short := self.spending.refusal(money):
                if number or others:
                    return number
                raise EngineError(out_of_money(short, money, "the next request"))
        return len(keys)

    def _drop(self, sent: Sent) -> None:
        """The batch is over: what was set aside for it is free."""
        self._folder.forget(sent)
        self.spending.release(sent.money)


def _files(lines: Iterable[tuple[str, bytes]]) -> Iterator[_File]:
    keys: list[str] = []
    content = bytearray()
    for key, line in lines:
        if keys and (len(keys) >= MOST_REQUESTS or len(content) + len(line) > MOST_BYTES):
            yield _File(keys, bytes(content))
            keys, content = [], bytearray()
        keys.append(key)
        content += line
    if keys:
        yield _File(keys, bytes(content))
