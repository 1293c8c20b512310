"""A model behind an API as a Generator, its answers kept on disk: OpenAI-compatible servers, Anthropic's, Gemini's."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from factory.config.apis import ApiEngine, OpenaiEngine
from factory.engines.api.accounts import Account
from factory.engines.api.async_requests import AsyncRequests
from factory.engines.api.batch import Batches
from factory.engines.api.endpoint import Endpoint
from factory.engines.api.rate_limiter import Clock
from factory.engines.api.spending import priced
from factory.engines.api.wire import estimate_tokens
from factory.engines.base import Completion, Request, recorded_completion
from factory.errors import ConfigError, EngineError
from factory.identity import Messages
from factory.models.ref import ModelRef
from principles.views import folded

FILE = "answers.sqlite"
"""Where a folder keeps answers."""
_PAGE = 500
_WAIT = 60.0
"""Seconds to wait for another process that writes."""


class Cached:
    """Answers from a folder first, and keeps there what the engine answers. Several processes may share the folder.

    The key is `Request.content_key(identity)`: endpoint, model, every message with its role, sampling, seed and
    choices. Failures are not kept. An answer from the cache costs nothing, and says so in its `cost`.
    """

    def __init__(self, ask: Callable[[Sequence[Request]], Iterator[Completion]], identity: str, folder: Path) -> None:
        self._ask, self._identity, self._path = ask, identity, folder / FILE
        self._database: sqlite3.Connection | None = None

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield a completion per request; equal questions within the call are asked once."""
        asking: dict[str, list[Request]] = {}
        for request in requests:
            asking.setdefault(request.content_key(self._identity), []).append(request)
        for key, answer in self._known(list(asking)):
            yield from (_again(answer, request) for request in asking.pop(key))
        first = {same[0].id: key for key, same in asking.items()}
        for answer in self._ask([same[0] for same in asking.values()]):
            key = first[answer.id]
            if answer.error is None:
                self._keep(key, answer)
            yield answer
            yield from (_again(answer, request) for request in asking[key][1:])

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _known(self, keys: Sequence[str]) -> Iterator[tuple[str, Completion]]:
        # In pages: SQLite bounds the placeholders of a statement.
        for start in range(0, len(keys), _PAGE):
            page = keys[start : start + _PAGE]
            marks = ",".join("?" * len(page))
            rows = self._run(f"SELECT key, answer FROM answers WHERE key IN ({marks})", page)
            for key, answer in rows:
                if (known := _recorded(answer)) is not None:
                    yield key, known

    def _keep(self, key: str, answer: Completion) -> None:
        value = {name: value for name, value in asdict(answer).items() if name != "id"}
        self._run("INSERT OR REPLACE INTO answers VALUES (?, ?)", [key, json.dumps(value)])

    def _run(self, statement: str, values: Sequence[str]) -> list[tuple[str, str]]:
        try:
            return self._open().execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise EngineError(
                f"the cache {self._path} cannot be used ({error}); remove the file or choose another cache_dir"
            ) from error

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Each statement its own transaction, so that an answer is kept once it is written. Another thread may close
            # what one opened, when a generator is collected; the calls never overlap.
            self._database = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
            # With a log beside the file readers do not wait for the one who writes.
            self._database.execute("PRAGMA journal_mode=WAL")
            # A sync per checkpoint, not per answer; a power cut costs the last answers, never the database.
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT) WITHOUT ROWID"
            )
        return self._database


def _recorded(answer: object) -> Completion | None:
    """What was kept, or None where somebody else put in what is no answer: it is asked for again."""
    try:
        record = json.loads(str(answer))
    except (ValueError, RecursionError):
        return None
    return recorded_completion({**record, "id": ""}) if isinstance(record, dict) else None


def _again(answer: Completion, request: Request) -> Completion:
    return replace(answer, id=request.id, cost=None if answer.cost is None else 0.0)


class ServerSide:
    """What is known here of a model that a server holds."""

    @property
    def context_length(self) -> int | None:
        """Known to the server alone; a prompt that does not fit comes back as a completion with an error."""
        return None

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        """An estimate: a token per four characters, and four per turn for its frame."""
        return [estimate_tokens(messages) for messages in conversations]


class ApiGenerator(ServerSide):
    """Asks a server over HTTP; retries, speed, money and the optional cache are its own affair.

    The key comes from the variable `key_env`, the address from the block; its kind says what is spoken. Nothing is
    imported, opened or sent before the first request, so that counting tokens needs neither key nor server.
    """

    def __init__(self, block: ApiEngine, model: ModelRef, *, clock: Clock | None = None) -> None:
        self._fold = model.fold_system
        self.endpoint = Endpoint(block, model)
        block = priced(block, self.endpoint.model)
        if block.max_cost is not None and not (block.prices and block.prices.money):
            raise ConfigError("max_cost needs prices: give what a million tokens cost under engine.prices")
        clock = clock or Clock()
        if isinstance(block, OpenaiEngine) and block.batch:
            self._engine: Batches | AsyncRequests = Batches(block, self.endpoint, clock)
        else:
            self._engine = AsyncRequests(block, self.endpoint, clock)
        self._cached = Cached(self._engine.generate, self.identity, Path(block.cache_dir)) if block.cache_dir else None

    @property
    def identity(self) -> str:
        """Kind, address and model, and a hash of what else decides the answers."""
        return self.endpoint.identity

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield one completion per request as they land, those of the cache first.

        Raises EngineError, with one sentence and after yielding what has arrived, when no key, no credit, no such
        model, no server, or `max_cost` is reached.
        """
        if self._fold:
            requests = [replace(request, messages=folded(request.messages)) for request in requests]
        ask = self._cached.generate if self._cached else self._engine.generate
        yield from ask(requests)

    def charge(self, accounts: Sequence[Account]) -> None:
        """Let every request be paid from each of `accounts`, and none be sent that one of them has no room for."""
        self._engine.spending.accounts = accounts

    def close(self) -> None:
        """Close connections, thread and cache."""
        self._engine.close()
        if self._cached:
            self._cached.close()
