"""Prompts of benchmarks, read from whatever file they are published in."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from factory.errors import InputError, short
from factory.files.json_text import parsed
from factory.files.rows import suffix_of
from factory.files.unpacking import open_unpacked

SUFFIXES = (".txt", ".parquet", ".jsonl", ".json", ".csv")
COLUMNS = (
    "prompt",
    "instruction",
    "question",
    "messages",
    "turns",
    "text",
    "query",
    "problem",
    "conversations",
    "conversation",
    "user_prompt",
)
"""Columns that may hold the prompts; of each row, the first that holds something is read."""


_LETTERS = 80
_Cell = tuple[str, Any]
"""A column's name, empty where there is none, and what stands in it."""


class BenchmarkPrompt(NamedTuple):
    """A benchmark prompt, or one turn of it."""

    name: str
    """File and line or row, from 1."""
    text: str


class BenchmarkFile(NamedTuple):
    """A file of benchmark prompts, and how it was read."""

    name: str
    items: list[BenchmarkPrompt]
    rows: int
    columns: tuple[str, ...]
    """Those that hold the prompts; none where rows are prompts themselves."""

    def __str__(self) -> str:
        """The reading in one line, with the first prompt."""
        held = len({item.name for item in self.items})
        column = f"prompt ← {' or '.join(self.columns)}" if self.columns else "each row a prompt"
        none = f", {self.rows - held:,} rows hold none" if held < self.rows else ""
        return (
            f"{self.name}: benchmark prompts, {column}: {len(self.items):,} texts of {held:,} rows{none}; "
            f"the first: {short(self.items[0].text, _LETTERS)!r}"
        )


def read(path: str | Path) -> BenchmarkFile:
    """The prompts of a file, one item per user turn. InputError for one that cannot be read or has no prompts."""
    place = Path(path)
    try:
        with open_unpacked(place) as stream:
            raw = stream.read()
        values = list(_values(raw, suffix_of(place), place))
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{place}: the benchmark prompts cannot be read: {error}") from error
    items = [
        BenchmarkPrompt(f"{place.name}:{row}", text)
        for row, (_, value) in enumerate(values, 1)
        for text in _turns(value)
    ]
    if not items:
        raise InputError(f"{place}: holds no prompt")
    blank = sum(value == "" for name, value in values if not name)  # lines that are no rows
    return BenchmarkFile(
        place.name, items, len(values) - blank, tuple(dict.fromkeys(name for name, _ in values if name))
    )


def _values(raw: bytes, kind: str, place: Path) -> Iterator[_Cell]:
    """What stands in the prompt column, row by row."""
    if kind == ".txt":
        return (("", line) for line in raw.decode("utf-8-sig").splitlines())
    if kind == ".parquet":
        return _column(pl.read_parquet(io.BytesIO(raw)).to_dicts(), place)
    if kind == ".csv":
        return _column(pl.read_csv(io.BytesIO(raw), infer_schema=False).to_dicts(), place)
    text = raw.decode("utf-8-sig")
    rows = parsed(text) if kind == ".json" else [parsed(line) for line in text.split("\n") if line.strip()]
    return _column(rows, place)


def _column(rows: Any, place: Path) -> Iterator[_Cell]:
    """The prompt column of rows; an `input` beside an instruction belongs to it. Rows may be the prompts themselves."""
    if not isinstance(rows, list):
        raise InputError(
            f"{place}: must hold a list of prompts or of rows with one of the columns {', '.join(COLUMNS)}"
        )
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            yield "", row
            continue
        name = next((column for column in COLUMNS if row.get(column) is not None), None)
        if name is None and not any(column in row for column in COLUMNS):
            columns = ", ".join(map(str, row))
            raise InputError(f"{place}: row {number} has the columns {columns} and none of {', '.join(COLUMNS)}")
        more = row.get("input") if name == "instruction" else None
        yield name or "", f"{row[name]}\n{more}" if more else row.get(name)


def _turns(value: Any) -> Iterator[str]:
    """The user's texts in a prompt: a string, a list of strings, or a list of messages in either common spelling."""
    if isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, list):
        for turn in value:
            if isinstance(turn, dict):
                said = turn.get("role", turn.get("from", "user")) in ("user", "human")
                yield from _turns(turn.get("content", turn.get("value"))) if said else ()
            else:
                yield from _turns(turn)
