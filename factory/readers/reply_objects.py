"""Columns of replies and of system messages that are objects without a role, such as `{"text": …}`: made messages."""

from collections.abc import Callable
from typing import Any

import polars as pl

from factory.readers.candidates import parsed
from factory.readers.messages import (
    NOT_TEXT,
    PROBLEM,
    TURN,
    PolarsType,
    is_message,
    is_messages,
    reply_turn,
    system_text,
)
from factory.readers.names import NAMES, REPLIES
from factory.readers.records import column
from factory.readers.stacking import json_of

_UNCLEAR = {"role": "assistant", "content": "", PROBLEM: NOT_TEXT}


def spoken(frame: pl.LazyFrame) -> pl.LazyFrame:
    """`frame` with such objects as messages and as texts. A column that none, or not every system message, is stays."""
    made = []
    for name, dtype in frame.collect_schema().items():
        if name in NAMES["system"] and dtype.is_nested() and _share(frame, name, dtype, system_text) == 1:
            made.append(_each(name, dtype, system_text, "text"))
        elif name in REPLIES and is_object(dtype) and _share(frame, name, dtype, reply_turn) > 0:
            made.append(_each(name, dtype, lambda raw: reply_turn(raw) or _UNCLEAR, "message"))
    return frame.with_columns(made) if made else frame


def is_object(dtype: PolarsType) -> bool:
    """Whether a column holds objects, or lists of them, that are no messages."""
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return isinstance(inner, pl.Struct) and not is_message(dtype) and not is_messages(dtype)


def _share(frame: pl.LazyFrame, name: str, dtype: pl.DataType, read: Callable[[Any], Any]) -> float:
    """Which share of a column's objects can be read."""
    cells = frame.select(json_of(name, dtype)).collect(engine="streaming").to_series().drop_nulls()
    return sum(read(parsed(text)) is not None for text in cells) / max(len(cells), 1)


def _each(name: str, dtype: pl.DataType, read: Callable[[Any], Any], kind: str) -> pl.Expr:
    def make(cells: pl.Series) -> pl.Series:
        return column([None if text is None else read(parsed(text)) for text in cells], kind).alias(cells.name)

    read_as = TURN if kind == "message" else pl.String()
    return json_of(name, dtype).map_batches(make, return_dtype=read_as, is_elementwise=True).alias(name)
