"""Files of text: JSONL, JSON, CSV and plain lines. A row that cannot be read is kept beside, with its line."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import polars as pl

from factory.errors import InputError, first_line
from factory.identity import replace_surrogates
from factory.readers.cells.records import Value, cell, frames_of
from factory.readers.inputs.nested_trees import messages_in
from factory.readers.inputs.opened import Unread, naming, unread_frame
from factory.readers.names import KNOWN, plainly
from factory.schema import LOGPS, PAIRS

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"
_SEPARATOR = re.compile(r"^sep=.\r?\n", re.IGNORECASE)


class Rows(NamedTuple):
    """What a file of text holds."""

    frames: tuple[pl.DataFrame, ...]
    unread: pl.DataFrame


class _Records:
    """Turns raw JSON values into records and sets aside what is none."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.unread: list[Unread] = []
        # Names come again in every row, so that each is cleaned once.
        self._names: dict[str, str] = {}

    def take(self, raws: Iterable[tuple[str, Any, Callable[[], str]]]) -> Iterator[Mapping[str, Value]]:
        """Yield each record of (place, value, row as text)."""
        for place, raw, text in raws:
            if not isinstance(raw, dict):
                self.unread.append(Unread(f"{place} holds {_kind(raw)} where an object must be", text()))
                continue
            try:
                for record in messages_in(raw) or (raw,):
                    yield {self._name(name): cell(name, value) for name, value in record.items()}
            except RecursionError:
                self.unread.append(Unread(f"{place} is nested too deeply", replace_surrogates(text())))

    def _name(self, name: str) -> str:
        return self._names.get(name) or self._names.setdefault(name, replace_surrogates(name))

    def rows(self, raws: Iterable[tuple[str, Any, Callable[[], str]]]) -> Rows:
        """All of them; InputError when there is none or none can be read."""
        frames = tuple(frames_of(self.take(raws)))
        if not frames:
            why = f"no row of it can be read: {self.unread[0].detail}" if self.unread else "it holds no row"
            raise InputError(f"{self.where}: {why}; check that it is the file you mean")
        return Rows(frames, unread_frame(self.unread))


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
    records = _Records(where)

    def lines() -> Iterator[tuple[str, Any, Callable[[], str]]]:
        for number, line in enumerate(_lines(stream), 1):
            if not line.strip():
                continue
            place = f"line {number}"
            text = line.decode("utf-8", "replace").strip()
            try:
                yield place, json.loads(line.decode("utf-8")), text.__str__
            except UnicodeDecodeError:
                records.unread.append(Unread(f"{place} is not UTF-8 text", text))
            except json.JSONDecodeError as error:
                records.unread.append(Unread(f"{place} is not JSON ({error.msg}, letter {error.pos + 1})", text))
            except RecursionError:
                records.unread.append(Unread(f"{place} is nested too deeply", text))
            except ValueError as error:
                records.unread.append(Unread(f"{place} cannot be read ({first_line(error)})", text))

    return records.rows(lines())


def _lines(stream: BinaryIO) -> Iterable[bytes]:
    """Lines as bytes, without a byte order mark; UTF-16 becomes UTF-8."""
    start = stream.read(len(_BOM))
    if start.startswith(_UTF16):
        yield from (start + stream.read()).decode("utf-16", "replace").encode("utf-8").split(b"\n")
        return
    head = b"" if start == _BOM else start
    first = head if head.endswith(b"\n") else head + stream.readline()
    yield from first.removesuffix(b"\n").split(b"\n")
    yield from stream


def read_json(stream: BinaryIO, where: str) -> Rows | None:
    """JSON: a list of objects, an object that holds one, or columns. None for an object that is no table."""
    data = stream.read()
    text = decoded(data, where)
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        if _first_line_is_json(text):
            return read_jsonl(io.BytesIO(text.encode("utf-8", "surrogatepass")), where)
        raise InputError(f"{where}, line {error.lineno}: not JSON ({error.msg}); correct the file") from error
    except (RecursionError, ValueError) as error:
        pieces = _elements(text)
        if pieces is None:
            raise InputError(f"{where}: nested too deeply or with numbers too long to be read as JSON") from error
        return _each(pieces, where)
    rows = _listed(raw)
    if rows is None:
        return None
    numbered = ((f"row {place}", row, lambda row=row: _json_text(row)) for place, row in enumerate(rows, 1))
    return _Records(where).rows(numbered)


def _each(pieces: Iterable[str], where: str) -> Rows:
    """The rows of a JSON list, each read by itself, so that one that cannot be read costs itself alone."""
    records = _Records(where)

    def values() -> Iterator[tuple[str, Any, Callable[[], str]]]:
        for place, piece in enumerate(pieces, 1):
            try:
                yield f"row {place}", json.loads(piece), piece.__str__
            except RecursionError:
                records.unread.append(Unread(f"row {place} is nested too deeply", replace_surrogates(piece)))
            except ValueError as error:
                records.unread.append(
                    Unread(f"row {place} cannot be read ({first_line(error)})", replace_surrogates(piece))
                )

    return records.rows(values())


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


def _listed(raw: Any) -> list[Any] | None:
    if isinstance(raw, list):
        return raw
    if not isinstance(raw, dict) or not raw:
        return None
    lists = [value for value in raw.values() if isinstance(value, list)]
    tables = [value for value in lists if value and all(isinstance(row, dict) for row in value)]
    if any(raw.get("data") is table for table in tables):
        return list(raw["data"])
    known = any(plainly(name) in KNOWN for name in raw)
    if len(tables) == len(raw) and not known:  # the splits of a data set, by name
        return [row for table in tables for row in table]
    if len(lists) == len(raw) > 1 and len({len(value) for value in lists}) == 1:
        return [dict(zip(raw, values, strict=True)) for values in zip(*lists, strict=True)]
    if raw.keys() == {"columns", "index", "data"} and all(isinstance(row, list) for row in raw["data"]):
        return [dict(zip(raw["columns"], row, strict=False)) for row in raw["data"]]
    cells = [value for value in raw.values() if isinstance(value, dict)]
    if known and len(cells) == len(raw) > 1 and all(value.keys() == cells[0].keys() for value in cells):
        return [{name: value[row] for name, value in raw.items()} for row in cells[0]]  # as pandas writes a table
    return None


def read_csv(stream: BinaryIO, where: str, tabs: bool) -> Rows:
    """CSV with a header; the separator is the comma, semicolon or tab that the header holds most of.

    Lines may end as on an old Macintosh, and the first may name the separator, as spreadsheets write it.
    """
    text = decoded(stream.read(), where)
    text = _SEPARATOR.sub("", text if "\n" in text else text.replace("\r", "\n"), count=1)
    header_line = text.lstrip("\r\n").split("\n", 1)[0]
    separator = "\t" if tabs else max(",;\t", key=header_line.count)
    header = next(csv.reader([header_line], delimiter=separator), [])
    twice = next((name for name in header if header.count(name) > 1), None)
    if not header or twice is not None:
        raise InputError(
            f"{where}: " + (f"the column {twice!r} is there twice; rename one" if header else "it holds no row")
        )
    try:
        # All as text: a reply that is "5" or "true" is no number.
        frame = pl.read_csv(io.BytesIO(text.encode()), separator=separator, infer_schema=False)
        rows = Rows((frame,), unread_frame([]))
    except (pl.exceptions.PolarsError, UnicodeEncodeError):
        rows = _ragged_csv(text, where, separator)
    if not rows.frames[0].height:
        raise InputError(f"{where}: it holds no row; check that it is the file you mean")
    return Rows(tuple(map(_typed, rows.frames)), rows.unread)


def _ragged_csv(text: str, where: str, separator: str) -> Rows:
    """CSV that polars refuses: rows with more cells than the header are set aside."""
    # The module's limit is global, so that it is put back; a long reply is over its 128 kB.
    limit = csv.field_size_limit(max(len(text), 131_072))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        header = next(reader)
        kept: list[list[str | None]] = []
        unread: list[Unread] = []
        for cells in reader:
            if len(cells) > len(header):
                detail = f"line {reader.line_num} has {len(cells)} cells and the header {len(header)}"
                unread.append(Unread(detail, replace_surrogates(separator.join(cells))))
            elif cells:
                kept.append(
                    [replace_surrogates(cell) if cell else None for cell in cells] + [None] * (len(header) - len(cells))
                )
    except csv.Error as error:
        raise InputError(f"{where}, line {reader.line_num}: not CSV ({error}); correct the file") from error
    finally:
        csv.field_size_limit(limit)
    frame = pl.DataFrame(kept, schema=dict.fromkeys(header, pl.String()), orient="row")
    return Rows((frame,), unread_frame(unread))


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """The factory's own number columns as numbers, where every cell is one; all else stays text."""
    numbers = {name: c.dtype for name, c in {**PAIRS.columns, **LOGPS}.items() if c.dtype.is_numeric()}
    for name in set(frame.columns) & set(numbers):
        cast = frame[name].cast(numbers[name], strict=False)
        if cast.null_count() == frame[name].null_count():
            frame = frame.with_columns(cast)
    return frame


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
