"""CSV cells that hold messages: as JSON, or as Python prints them, as `to_csv` of datasets and pandas does."""

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from factory.readers.records import SPOKEN, Value, cell, frames_of, value_of

_HOLDING: dict[str, tuple[str, ...]] = dict.fromkeys(SPOKEN, ("message", "messages")) | {
    "turns": ("messages", "texts"),
    "history": ("messages", "rounds", "empty"),
}
"""Columns in which a cell may be a list or an object, and the kinds (of records) that it may be; all else is text."""
_OPENS = r"^\s*[\[{]"
_NUMPY = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|\}\s+\{""", re.DOTALL)
"""A quoted text, or the place between two objects where an array is printed without a comma."""


def unfolded(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """`frame`, whose columns are texts and numbers, with the cells that are messages as such: see `frames_of`."""
    names = [name for name in frame.columns if name in _HOLDING and frame.schema[name] == pl.String]
    opening = frame.select(pl.col(name).str.contains(_OPENS).any() for name in names)
    holding = [name for name in names if opening[name].item()]
    return frames_of(_records(frame, holding)) if holding else [frame]


def _records(frame: pl.DataFrame, holding: list[str]) -> Iterator[Mapping[str, Value]]:
    for row in frame.iter_rows(named=True):
        yield {name: _cell(name, raw) if name in holding else cell(name, raw) for name, raw in row.items()}


def _cell(name: str, raw: str | None) -> Value:
    text = cell(name, raw)
    if raw is None or not re.match(_OPENS, raw):
        return text
    value = _parsed(raw)
    found = text if value is None else value_of(value)
    return found if found.kind in _HOLDING[name] else text


def _parsed(text: str) -> Any:
    """The value that `text` writes out as JSON or as Python does; None for what is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # of backslashes in a text
            return ast.literal_eval(_NUMPY.sub(lambda found: found[1] or "}, {", text.strip()))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
