"""Answers kept on disk across runs, by everything that decides them: never pay twice for one question."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from factory.engines.base import Completion, Request, recorded_completion
from factory.errors import EngineError

FILE = "answers.sqlite"
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
