"""An append-only journal of answers, and asking through it: what was paid for is never asked again."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from factory.engines.base import Completion, Request, Score, ScoreRequest
from factory.errors import EngineError, short
from factory.progress import Progress


@dataclass
class Usage:
    """What one asker (`replies 1`, `judge J`) got of its engine in a stage: the same however often it was killed."""

    requests: int = 0
    """Answers without an error, from the journal or the engine."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    asked: int = 0
    """Those of the answers that the engine gave in the last process …"""
    seconds: float = 0.0
    """… and how long they took it, opening left out."""
    setting: str = ""
    """What they came from: engine with its options, model, room for an answer."""

    def add(self, answer: Completion | Score, new: bool) -> None:
        """Count an answer."""
        prompt, completion, cost = _cost_of(answer)
        self.requests += 1
        self.asked += new
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.cost = round(self.cost + cost, 9)


_CHARS = 80
"""As much is shown of an answer that is none."""
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (Completion, Score)}


def _cost_of(answer: Completion | Score) -> tuple[int, int, float]:
    """Prompt tokens, completion tokens, money."""
    if isinstance(answer, Score):
        return sum(count or 0 for count in answer.tokens), 0, 0.0
    return answer.prompt_tokens or 0, answer.completion_tokens or 0, answer.cost or 0.0


class Journal:
    """Records by key, one JSON line each, flushed as they land; memory holds sixteen bytes a record.

    A torn last line, left by a killed process, is cut off on opening; a garbage line is skipped and counted. A record
    that holds no answer is asked for again, and the new one counts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = 0
        self.used: dict[str, Usage] = {}
        self._offsets = Offsets()
        path.parent.mkdir(parents=True, exist_ok=True)
        # For appending: every write goes to the end of the file as it is then, whatever has been read in between.
        self._file = path.open("a+b")
        self._read_index()

    def _read_index(self) -> None:
        self._file.seek(0)
        offset = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                # Cut, not skipped: the next record would otherwise be written onto the torn one and be lost with it.
                self._file.truncate(offset)
                break
            key = _key_of(line)
            if key is None:
                self.skipped += 1
            else:
                self._offsets[key] = offset
            offset += len(line)
        self._end = offset

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._offsets

    def get(self, key: str) -> dict[str, Any] | None:
        """The record under `key`, or None."""
        offset = self._offsets.get(bytes.fromhex(key))
        if offset is None:
            return None
        self._file.seek(offset)
        record = json.loads(self._file.readline())
        value: dict[str, Any] = record["value"]
        # The index knows half of each key; the record itself says whose it is.
        return value if record["key"] == key else None

    def adopt(self, other: Path) -> None:
        """Take over what another journal holds beside this one's, such as that of a preview; it need not be there."""
        if not other.is_file():
            return
        with other.open("rb") as lines:
            for line in lines:
                key = _key_of(line) if line.endswith(b"\n") else None
                if key is not None and key not in self._offsets:
                    self._write({key: line})

    def append(self, key: str, value: dict[str, Any]) -> None:
        """Write the record and hand it to the operating system before returning, so that a kill cannot lose it."""
        self.extend({key: value})

    def extend(self, records: Mapping[str, dict[str, Any]]) -> None:
        """Write records of which a kill leaves all or none: at once, as a write to a file is not torn by a signal."""
        lines = {}
        for key, value in records.items():
            line = json.dumps({"key": key, "value": value}, separators=(",", ":"))
            lines[bytes.fromhex(key)] = line.encode() + b"\n"
        self._write(lines)

    def _write(self, lines: Mapping[bytes, bytes]) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.write(b"".join(lines.values()))
        # To the kernel, not to the disk: that outlives a kill. An fsync per answer would take longer than many
        # answers do; a power cut loses at most what the disk had not taken yet.
        self._file.flush()
        for key, line in lines.items():
            self._offsets[key] = self._end
            self._end += len(line)

    def close(self) -> None:
        """Sync to disk and close."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A full disk has been told by the write that failed; a second error here would hide the first.
        with suppress(OSError):
            self.close()


def _key_of(line: bytes) -> bytes | None:
    try:
        record = json.loads(line)
        if isinstance(record["value"], dict):
            return bytes.fromhex(record["key"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


_Q = TypeVar("_Q", Request, ScoreRequest)
_A = TypeVar("_A", Completion, Score)


class Asker(NamedTuple):
    """Who asks an engine in a stage (`replies 1`, `judge J`), and where its answers go."""

    journal: Journal
    progress: Progress
    name: str
    setting: str = ""
    """What answers, as `Usage.setting`."""


def journaled(
    ask: Callable[[Sequence[_Q]], Iterator[_A]],
    read: Callable[[dict[str, Any]], _A | None],
    identity: str,
    requests: Sequence[_Q],
    asker: Asker,
    unit: str = "requests",
) -> Iterator[_A]:
    """Answers on disk first, then those of `ask`, each journaled before it is passed on. Failed ones are not kept.

    `identity` names what answers: answers of another engine under the same journal are not taken for its own. `read`
    makes an answer of its record, None where that holds none.
    """
    journal, progress, name, setting = asker
    used = journal.used.setdefault(name, Usage())
    used.setting = setting
    keys = {request.id: request.key(identity) for request in requests}
    known = [request for request in requests if keys[request.id] in journal]
    missing = [request for request in requests if keys[request.id] not in journal]
    if known and missing:
        progress.say(f"  {len(known):,} of {len(requests):,} answers are in the journal")
    for request in known:
        # One at a time from the disk: all answers of a stage at once would be the largest thing in memory.
        recorded = read(journal.get(keys[request.id]) or {})
        if recorded is None:
            missing.append(request)
            continue
        used.add(recorded, new=False)
        yield recorded
    if not missing:
        return
    progress.start(name, len(requests), unit, done=len(requests) - len(missing))
    began, before = time.monotonic(), used.seconds
    try:
        for answer in ask(missing):
            # Once each: an answer that is none, or is nobody's, is a fault of another package's engine.
            key = keys.pop(answer.id, None) if isinstance(answer, tuple(_FIELDS)) else None
            if key is None:
                said = short(repr(answer), _CHARS)
                raise EngineError(f"{name}: the engine gave {said}, which answers nothing that it was asked; mend it")
            # Before it is handed on: whatever the stage does with it, even fail, it has been paid for and stays.
            if answer.error is None:
                journal.append(key, {name: getattr(answer, name) for name in _FIELDS[type(answer)]})
                used.add(answer, new=True)
                used.seconds = round(before + time.monotonic() - began, 3)
            prompt, completion, cost = _cost_of(answer)
            progress.advance(1, prompt + completion, cost)
            yield answer
    finally:
        progress.finish()


def with_room(setting: str, requests: Sequence[Request]) -> str:
    """`setting` with the longest answer asked for, on which speed depends too."""
    return f"{setting}/{max((request.max_new_tokens for request in requests), default=0)}"


_RECENT = 1 << 16
"""Records after which the dictionary is sorted into the arrays."""


class Offsets:
    """Offsets by the first eight bytes of a key, which is random.

    Two keys that share them, of ten million one pair in 300,000 files, are taken for one another: whoever reads the
    record looks at its key.
    """

    def __init__(self) -> None:
        # Two arrays, as a dictionary of Python objects takes some 150 bytes a record where these take sixteen.
        self._keys = np.zeros(0, dtype=np.uint64)
        self._places = np.zeros(0, dtype=np.int64)
        self._recent: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._keys) + len(self._recent)

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def get(self, key: bytes) -> int | None:
        """The offset of the record of this key, which came last; None where there is none."""
        short = _short(key)
        recent = self._recent.get(short)
        if recent is not None:
            return recent
        at = self._at(short)
        return None if at is None else int(self._places[at])

    def __setitem__(self, key: bytes, offset: int) -> None:
        short = _short(key)
        at = self._at(short)
        if at is not None:
            self._places[at] = offset
            return
        self._recent[short] = offset
        if len(self._recent) >= _RECENT:
            self._sort()

    def _at(self, short: int) -> int | None:
        at = int(np.searchsorted(self._keys, np.uint64(short)))
        return at if at < len(self._keys) and int(self._keys[at]) == short else None

    def _sort(self) -> None:
        keys = np.fromiter(self._recent, dtype=np.uint64, count=len(self._recent))
        places = np.fromiter(self._recent.values(), dtype=np.int64, count=len(self._recent))
        keys, places = np.concatenate([self._keys, keys]), np.concatenate([self._places, places])
        order = np.argsort(keys)
        self._keys, self._places, self._recent = keys[order], places[order], {}


def _short(key: bytes) -> int:
    return int.from_bytes(key[:8], "little")
