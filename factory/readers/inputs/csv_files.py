"""CSV and TSV, in the manners of writing them that are met. A row that cannot be read is kept beside, with its line."""

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import polars as pl

from factory.errors import InputError
from factory.identity import replace_surrogates
from factory.readers.inputs.opened import Unread, unread_frame
from factory.readers.inputs.texts import Rows, decoded
from factory.readers.names import KNOWN, plainly
from factory.schema import LOGPS, PAIRS

_SEPARATOR = re.compile(r"^sep=.\r?\n", re.IGNORECASE)
_ESCAPED = re.compile(r'(?<!\\)((?:\\\\)*)\\"')
_NOTHING = ("nan", "NaN", "-nan", "null", "NULL", "None", "<NA>", "#N/A")
"""What a cell without a value is written as; of pandas' words those that nobody means as a reply."""


def read_csv(stream: BinaryIO, where: str, tabs: bool) -> Rows:
    """CSV with a header; the separator is the comma, semicolon or tab that the header holds most of.

    Lines may end as on an old Macintosh, the first may name the separator, as spreadsheets write it, and cells may
    follow a space. Raises InputError where a quotation mark stands as no reader of CSV can mean it.
    """
    text = decoded(stream.read(), where).replace("\r\r\n", "\r\n")  # of lines that Windows ended a second time
    text = _SEPARATOR.sub("", text if "\n" in text else text.replace("\r", "\n"), count=1)
    # Only the header is counted, since a prose cell holds commas whatever parts the cells.
    header_line = text.lstrip("\r\n").split("\n", 1)[0]
    separator = "\t" if tabs else max(",;\t", key=header_line.count)
    spaced = separator != "\t" and f"{separator} " in header_line
    try:
        header = next(csv.reader([header_line], delimiter=separator, skipinitialspace=spaced), [])
    except csv.Error as error:
        raise InputError(f"{where}, line 1: not CSV ({error}); save the file as UTF-8 anew") from error
    # polars would call the second one a_duplicated_0.
    twice = next((name for name in header if header.count(name) > 1), None)
    if not header or twice is not None:
        raise InputError(
            f"{where}: " + (f"the column {twice!r} is there twice; rename one" if header else "it holds no row")
        )
    rows = _row_by_row(text, where, separator, spaced=True) if spaced else _rows(text, where, separator)
    if not rows.frames[0].height:
        why = f"no row of it can be read: {rows.unread['detail'][0]}" if rows.unread.height else "it holds no row"
        raise InputError(f"{where}: {why}; check that it is the file you mean")
    frame, again = _headed_once(rows.frames[0])
    return Rows((_typed(_without_nothing(frame)),), pl.concat([rows.unread, again]))


def _headed_once(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`frame` without rows that are its header once more, as where files were put behind one another; and those."""
    again = pl.all_horizontal(pl.col(name).eq_missing(pl.lit(name)) for name in frame.columns)
    told = Unread("it is the header once more", ",".join(frame.columns))
    count = frame.select(again.sum()).item() if frame.width > 1 else 0
    return (frame.filter(~again), unread_frame([told] * count)) if count else (frame, unread_frame([]))


def _rows(text: str, where: str, separator: str) -> Rows:
    unquoted = separator == "\t" and _of_even_lines(text)
    text = text if unquoted else _doubled(text, where, separator)
    try:
        # All as text: a reply that is "5" or "true" is no number.
        quote = None if unquoted else '"'
        frame = pl.read_csv(io.BytesIO(text.encode()), separator=separator, quote_char=quote, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeEncodeError):
        return _row_by_row(text, where, separator)
    return Rows((frame.select(map(_bare, frame.columns)) if unquoted else frame,), unread_frame([]))


def _of_even_lines(text: str) -> bool:
    """Whether each line has as many tabs as the first: then none is within a cell, and a mark may stand by itself."""
    return len({line.count("\t") for line in text.split("\n") if line}) == 1


def _bare(name: str) -> pl.Expr:
    """A column's cells without the quotation marks around them."""
    cell = pl.col(name)
    inner = cell.str.slice(1, cell.str.len_chars() - 2).str.replace_all('""', '"', literal=True)
    quoted = cell.str.contains('^"(?:[^"]|"")+"$')
    # As in any other CSV, a cell with nothing in it is missing.
    return pl.when(quoted).then(inner).when(cell != '""').then(cell).alias(name.strip('"').replace('""', '"'))


def _doubled(text: str, where: str, separator: str) -> str:
    """`text` with quotation marks within cells doubled, where they stand behind a backslash.

    polars leaves out such a mark, and any other that stands within a quoted cell by itself, without a word.
    """
    # False of most files: what it finds may still stand in a cell without marks around it. The pattern begins with the
    # mark and looks back from it, since `re` goes from mark to mark then; from cell to cell it takes 35 times as long.
    if not re.search(rf'"(?<=[^"\r\n{separator}]")[^"\r\n{separator}]', text):
        return text
    fault = _fault(text, separator)
    doubled = _ESCAPED.sub(r'\1""', text) if fault else text
    if fault and (doubled == text or _fault(doubled, separator)):
        raise InputError(
            f"{where}, line {fault}: a quotation mark within a quoted cell is not doubled, so that cells cannot "
            'be told apart; write "" for each such mark'
        )
    return doubled


def _fault(text: str, separator: str) -> int | None:
    """The line in which `text` is no CSV; None where there is none."""
    with _long_cells(text):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            # In a deque of no length, which keeps none of the rows.
            deque(reader, maxlen=0)
        except csv.Error:
            return reader.line_num
    return None


@contextmanager
def _long_cells(text: str) -> Iterator[None]:
    # The module's limit is global, so that it is put back; a long reply is over its 128 kB.
    limit = csv.field_size_limit(max(len(text), 131_072))
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _row_by_row(text: str, where: str, separator: str, *, spaced: bool = False) -> Rows:
    """CSV that polars refuses: rows with more cells than the header are set aside."""
    kept: list[list[str | None]] = []
    unread: list[Unread] = []
    # newline="", so that line ends within a quoted cell stay as they are.
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=spaced)
    with _long_cells(text):
        try:
            header = next(reader)
            for cells in reader:
                if len(cells) > len(header):
                    detail = f"line {reader.line_num} has {len(cells)} cells and the header {len(header)}"
                    unread.append(Unread(detail, replace_surrogates(separator.join(cells))))
                elif cells:
                    told = [replace_surrogates(cell) if cell else None for cell in cells]
                    kept.append(told + [None] * (len(header) - len(cells)))
        except csv.Error as error:
            raise InputError(f"{where}, line {reader.line_num}: not CSV ({error}); correct the file") from error
    frame = pl.DataFrame(kept, schema=dict.fromkeys(header, pl.String()), orient="row")
    return Rows((frame,), unread_frame(unread))


def _without_nothing(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with the cells null that say there is no value, in the columns that mean something."""
    names = [name for name in frame.columns if plainly(name) in KNOWN]
    return frame.with_columns(pl.when(~pl.col(name).is_in(_NOTHING)).then(pl.col(name)).alias(name) for name in names)


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """The factory's own number columns as numbers, where every cell is one; all else stays text."""
    numbers = {name for name, column in {**PAIRS.columns, **LOGPS}.items() if column.dtype.is_numeric()}
    # A cell that is no number would become null: one such, and the column stays text. Whole ones are found later.
    for name in set(frame.columns) & numbers:
        cast = frame[name].cast(pl.Float64, strict=False)
        if cast.null_count() == frame[name].null_count():
            frame = frame.with_columns(cast)
    return frame
