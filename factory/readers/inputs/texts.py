"""Files of text: JSONL, JSON and plain lines. A row that cannot be read is kept beside, with its line."""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import polars as pl

from factory.errors import InputError, first_line
from factory.identity import replace_surrogates
from factory.readers.cells.records import Value, cell, frames_of
from factory.readers.inputs.documents import prompts_in, rows_in, unwrapped
from factory.readers.inputs.nested_trees import messages_in
from factory.readers.inputs.opened import Unread, naming, unread_frame
from factory.readers.inputs.paddle import in_turns
from factory.readers.messages import left_of, message_kind
from factory.readers.names import KNOWN

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"


class Rows(NamedTuple):
    """What a file of text holds."""

    frames: tuple[pl.DataFrame, ...]
    unread: pl.DataFrame
    left: Mapping[str, Iterable[str]] = {}
    """See Opened."""


class _Raw(NamedTuple):
    """A row as it stands in a file."""

    place: str
    value: Any
    text: str | None = None
    """The row as it came; None: as JSON has the value."""


class _TwiceError(ValueError):
    """An object that has a key twice: which of the two values is meant, nobody can tell."""


def _require_once(raw: Any, text: str) -> None:
    """Raise _TwiceError where `text`, which is the object `raw`, has a key of it twice; json takes the last one."""
    # A key can only be there twice where its name is, quoted: a count is many times quicker than a hook for every key.
    if isinstance(raw, dict) and any(text.count(f'"{name}"') > 1 for name in raw if name in KNOWN):
        json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _TwiceError(f"has the key {twice!r} twice")


class _Records:
    """Turns raw JSON values into records and sets aside what is none."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.unread: list[Unread] = []
        self.left: dict[str, dict[str, None]] = {}
        # Names come again in every row, so that each is cleaned once.
        self._names: dict[str, str] = {}

    def parse(self, pieces: Iterable[tuple[str, str | bytes]]) -> Iterator[_Raw]:
        """The rows that (place, JSON) are, each by itself, so that one that cannot be read costs itself alone."""
        for place, piece in pieces:
            text = piece if isinstance(piece, str) else piece.decode("utf-8", "replace").strip()
            try:
                # Decoded here, since of bytes json.loads guesses the encoding, by where NULs stand in them.
                whole = piece if isinstance(piece, str) else piece.decode("utf-8")
                raw = json.loads(whole)
                _require_once(raw, whole)
                yield _Raw(place, raw, text)
            except _TwiceError as error:
                self._set_aside(f"{place} {error}", text)
            except UnicodeDecodeError:
                self._set_aside(f"{place} is not UTF-8 text", text)
            except json.JSONDecodeError as error:
                self._set_aside(f"{place} is not JSON ({error.msg}, letter {error.pos + 1})", text)
            except RecursionError:
                self._set_aside(f"{place} is nested too deeply", text)
            except ValueError as error:  # a number of more digits than Python converts
                self._set_aside(f"{place} cannot be read ({first_line(error)})", text)

    def rows(self, raws: Iterable[_Raw]) -> Rows:
        """All of them; InputError when there is none or none can be read."""
        frames = tuple(frames_of(self._records(raws)))
        if not frames:
            why = f"no row of it can be read: {self.unread[0].detail}" if self.unread else "it holds no row"
            raise InputError(f"{self.where}: {why}; check that it is the file you mean")
        return Rows(frames, unread_frame(self.unread), self.left)

    def _records(self, raws: Iterable[_Raw]) -> Iterator[Mapping[str, Value]]:
        for place, value, text in raws:
            # A conversation may be written as its messages alone.
            talk = isinstance(value, list) and value and all(map(message_kind, value))
            raw = {"messages": value} if talk else value
            if not isinstance(raw, dict):
                shown = _json_text(raw) if text is None else text
                self._set_aside(f"{place} holds {_kind(raw)} where an object must be", shown)
                continue
            try:
                for record in messages_in(raw) or (in_turns(unwrapped(raw)),):
                    yield {self._name(name): self._cell(name, value) for name, value in record.items()}
            except RecursionError:
                self._set_aside(f"{place} is nested too deeply", _json_text(raw) if text is None else text)

    def _cell(self, name: str, raw: Any) -> Value:
        found = cell(name, raw)
        if found.kind in ("message", "messages", "odd"):
            for one in raw if isinstance(raw, list) else [raw]:
                keys = left_of(one) if isinstance(one, dict) else ()
                if keys:
                    self.left.setdefault(name, {}).update(dict.fromkeys(keys))
        return found

    def _set_aside(self, detail: str, text: str) -> None:
        self.unread.append(Unread(detail, replace_surrogates(text)))

    def _name(self, name: str) -> str:
        return self._names.get(name) or self._names.setdefault(name, replace_surrogates(name))


def _kind(raw: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(raw), "null")


def decoded(data: bytes, where: str) -> str:
    """`data` as text: UTF-8, or UTF-16 where it says so in its first bytes."""
    if data.startswith(_UTF16):
        return data.decode("utf-16", "replace")
    try:
        return data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{where}, line {line}: not UTF-8 text; save the file as UTF-8") from error


def read_jsonl(stream: BinaryIO, where: str) -> Rows:
    """JSONL, a line at a time; blank lines are no rows."""
    records, numbered = _Records(where), enumerate(_lines(stream), 1)
    return records.rows(records.parse((f"line {number}", line) for number, line in numbered if line.strip()))


def _lines(stream: BinaryIO) -> Iterable[bytes]:
    """Lines as bytes, without a byte order mark; UTF-16 becomes UTF-8."""
    # Three bytes tell the encoding; what has been read of the first line is put before it again.
    start = stream.read(len(_BOM))
    if start.startswith(_UTF16):
        yield from (start + stream.read()).decode("utf-16", "replace").encode("utf-8").split(b"\n")
        return
    head = b"" if start == _BOM else start
    first = head if head.endswith(b"\n") else head + stream.readline()
    yield from first.removesuffix(b"\n").split(b"\n")
    yield from stream


def read_json(stream: BinaryIO, where: str, *, named: bool = False) -> Rows | None:
    """JSON: a list of objects, an object that holds one, or columns. None for an object that is no table.

    Where the user named the file, prompts are looked for too, which a manifest beside the data may hold.
    """
    data = stream.read()
    text = decoded(data, where)
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        # JSONL under the name .json is common.
        if _first_line_is_json(text):
            return read_jsonl(io.BytesIO(text.encode("utf-8", "surrogatepass")), where)
        raise InputError(f"{where}, line {error.lineno}: not JSON ({error.msg}); correct the file") from error
    except (RecursionError, ValueError) as error:
        # The parser gives up on the whole text for one row that is too deep, so that rows are told apart first.
        pieces = _elements(text)
        if pieces is None:
            raise InputError(f"{where}: nested too deeply or with numbers too long to be read as JSON") from error
        records = _Records(where)
        return records.rows(records.parse((f"row {place}", piece) for place, piece in enumerate(pieces, 1)))
    rows = rows_in(raw)
    if named and (rows is None or rows is raw):
        rows = prompts_in(raw) or rows
    if rows and isinstance(rows[0], dict) and _more_than_once(rows, text):
        try:
            json.loads(text, object_pairs_hook=_once)
        except _TwiceError as error:
            raise InputError(f"{where}: an object {error}; leave out one") from error
    return None if rows is None else read_objects(rows, where)


def read_objects(rows: Iterable[Mapping[str, Any]], where: str) -> Rows:
    """Objects as the lines of a JSONL file that holds them are read."""
    return _Records(where).rows(_Raw(f"row {place}", row) for place, row in enumerate(rows, 1))


def _more_than_once(rows: Sequence[Any], text: str) -> bool:
    """Whether a key of the first row stands in `text` more often than there are rows."""
    return any(text.count(f'"{name}"') > len(rows) for name in rows[0] if name in KNOWN)


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)


def _elements(text: str) -> list[str] | None:
    """Each element of the list that `text` is; None for what is none."""
    depth, start, found = 0, 0, []
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if depth == 0 and mark != "[":
            return None
        if mark in "[{":
            depth += 1
            start = token.end() if depth == 1 else start
        elif mark in "]}":
            depth -= 1
        if (depth == 1 and mark == ",") or depth == 0:
            found.append(text[start : token.start()].strip())
            start = token.end()
        if depth == 0:
            return [one for one in found if one] if not text[token.end() :].strip() else None
    return None


def _json_text(raw: Any) -> str:
    try:
        return replace_surrogates(json.dumps(raw, ensure_ascii=False))
    except RecursionError:
        return ""


def _first_line_is_json(text: str) -> bool:
    line = text.lstrip().split("\n", 1)[0]
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def read_lines(stream: BinaryIO, where: str) -> Rows:
    """Plain text: a prompt per line, blank lines left out."""
    kept: list[str] = []
    unread: list[Unread] = []
    for number, line in enumerate(_lines(stream), 1):
        text = line.decode("utf-8", "replace").strip()
        if not text:
            continue
        try:
            kept.append(line.decode("utf-8").strip())
        except UnicodeDecodeError:
            unread.append(Unread(f"line {number} is not UTF-8 text", text))
    if not kept:
        why = unread[0].detail if unread else "it holds no line"
        raise InputError(f"{where}: {why}; check that it is the file you mean")
    with naming(where):
        return Rows((pl.DataFrame({"prompt": kept}),), unread_frame(unread))
