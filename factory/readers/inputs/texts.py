"""Files of text: JSONL, JSON, CSV and plain lines. A row that cannot be read is kept beside, with its line."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
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


class _Raw(NamedTuple):
    """A row as it stands in a file."""

    place: str
    value: Any
    text: str | None = None
    """The row as it came; None: as JSON has the value."""


class _Records:
    """Turns raw JSON values into records and sets aside what is none."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.unread: list[Unread] = []
        # Names come again in every row, so that each is cleaned once.
        self._names: dict[str, str] = {}

    def parse(self, pieces: Iterable[tuple[str, str | bytes]]) -> Iterator[_Raw]:
        """The rows that (place, JSON) are, each by itself, so that one that cannot be read costs itself alone."""
        for place, piece in pieces:
            text = piece if isinstance(piece, str) else piece.decode("utf-8", "replace").strip()
            try:
                # Decoded here, since of bytes json.loads guesses the encoding, by where NULs stand in them.
                yield _Raw(place, json.loads(piece if isinstance(piece, str) else piece.decode("utf-8")), text)
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
        return Rows(frames, unread_frame(self.unread))

    def _records(self, raws: Iterable[_Raw]) -> Iterator[Mapping[str, Value]]:
        for place, raw, text in raws:
            if not isinstance(raw, dict):
                shown = _json_text(raw) if text is None else text
                self._set_aside(f"{place} holds {_kind(raw)} where an object must be", shown)
                continue
            try:
                for record in messages_in(raw) or (raw,):
                    yield {self._name(name): cell(name, value) for name, value in record.items()}
            except RecursionError:
                self._set_aside(f"{place} is nested too deeply", _json_text(raw) if text is None else text)

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


def read_json(stream: BinaryIO, where: str) -> Rows | None:
    """JSON: a list of objects, an object that holds one, or columns. None for an object that is no table."""
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
    rows = _listed(raw)
    return (
        None if rows is None else _Records(where).rows(_Raw(f"row {place}", row) for place, row in enumerate(rows, 1))
    )


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
    # DataFrame.to_json(orient="split").
    if raw.keys() == {"columns", "index", "data"} and all(isinstance(row, list) for row in raw["data"]):
        return [dict(zip(raw["columns"], row, strict=False)) for row in raw["data"]]
    # DataFrame.to_json as it comes: a column is an object from row number to cell.
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
    # Only the header is counted, since a prose cell holds commas whatever parts the cells.
    header_line = text.lstrip("\r\n").split("\n", 1)[0]
    separator = "\t" if tabs else max(",;\t", key=header_line.count)
    header = next(csv.reader([header_line], delimiter=separator), [])
    # polars would call the second one a_duplicated_0.
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
        # newline="", so that line ends within a quoted cell stay as they are.
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
    # A cell that is no number would become null: one such, and the column stays text.
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
