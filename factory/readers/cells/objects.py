"""Objects that stand where texts or messages do: a request, a question, `{"post": …}`; a reply, a system message."""

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from factory.readers.cells.literals import written_in
from factory.readers.cells.records import by_cell
from factory.readers.cells.values import json_in, json_of
from factory.readers.messages import (
    NOT_TEXT,
    ODD,
    PROBLEM,
    TOOL_TURNS,
    PolarsType,
    is_message,
    is_messages,
    message_kind,
    reply_turn,
    spoken_by,
    system_text,
    turn,
)
from factory.readers.names import ASKING, NAMES, REPLIES, REQUESTS

_UNCLEAR = {"role": "assistant", "content": "", PROBLEM: NOT_TEXT}


def is_object(dtype: PolarsType | None) -> bool:
    """Whether a column holds objects, or lists of them, that are no messages."""
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return dtype == ODD or (isinstance(inner, pl.Struct) and not is_message(dtype) and not is_messages(dtype))


def is_request(value: Any) -> bool:
    """Whether an object is a prompt's wherever it stands, also written out: by a key that no plain text has."""
    if not isinstance(value, dict):
        return False
    messages = value.get("messages")
    told = isinstance(messages, list) and bool(messages) and all(message_kind(item) for item in messages)
    return told or isinstance(value.get("full_text"), str)


def turns_within(name: str, dtype: PolarsType) -> pl.Expr:
    """The prompt within the objects of a column as TURNS; one that holds none is no text, in REQUESTS it is null."""
    nothing: dict[str, str | None] = {"role": "user", "content": "", PROBLEM: NOT_TEXT}
    unknown = None if name in REQUESTS else [nothing]
    several = name in NAMES["turns"]

    def read(text: str) -> list[dict[str, str | None]] | None:
        plain = name == "request" and written_in(text) is None  # what was asked, in plain words
        return (_within_object({"text": text}) if plain else _within(text, several=several)) or unknown

    return by_cell(json_of(name, dtype), read, "messages")


def _within(text: str, *, several: bool) -> list[dict[str, str | None]] | None:
    """In an object, one that is alone in a list, or the first of `several` questions."""
    value = written_in(text)
    first = value[0] if isinstance(value, list) and (len(value) == 1 or (several and value)) else value
    return _within_object(first) if isinstance(first, dict) else None


def _within_object(value: Mapping[str, Any]) -> list[dict[str, str | None]] | None:
    messages = value.get("messages")
    if isinstance(messages, list) and messages and all(message_kind(item) for item in messages):
        turns = [turn(item) for item in messages]
        # A request with tools may be answered by a call, which no reply of a pair is.
        return [{**turns[0], PROBLEM: TOOL_TURNS}, *turns[1:]] if value.get("tools") else turns
    if message_kind(value) and not spoken_by(value):  # by somebody who may be anybody
        return None
    told = next((value[key] for key in ASKING if isinstance(value.get(key), str)), None)
    if told is None:
        return None
    title = value.get("title")
    whole = f"{title}\n\n{told}" if isinstance(title, str) and title.strip() else told
    return [{"role": "user", "content": whole, PROBLEM: None}]


def spoken(frame: pl.LazyFrame, called: Mapping[str, str]) -> pl.LazyFrame:
    """`frame` with such objects as messages and as texts. A column that none, or not every system message, is stays.

    `called` are columns that the user names, as in `known_as`.
    """
    made, schema = [], frame.collect_schema()
    if {"instruction", "instances"} <= {*schema} and "input" not in schema:  # the tasks of Self-Instruct
        made.append(_read("instances", schema["instances"], _first_input, "text").alias("input"))
    for name, dtype in schema.items():
        # All of them, as one that is not read would leave its row without the message that it was asked under.
        known = called.get(name, name)
        if known in NAMES["system"] and dtype.is_nested() and _share(frame, name, dtype, system_text) == 1:
            made.append(_read(name, dtype, system_text, "text"))
        elif known in REPLIES and is_object(dtype) and _share(frame, name, dtype, reply_turn) > 0:
            made.append(_read(name, dtype, lambda raw: reply_turn(raw) or _UNCLEAR, "message"))
    return frame.with_columns(made) if made else frame


def _first_input(value: Any) -> str | None:
    """What is asked about in the first of a task's instances."""
    first = value[0] if isinstance(value, list) and value else None
    told = first.get("input") if isinstance(first, dict) else None
    return told if isinstance(told, str) else None


def _share(frame: pl.LazyFrame, name: str, dtype: pl.DataType, read: Callable[[Any], Any]) -> float:
    """Which share of a column's objects can be read."""
    cells = frame.select(json_of(name, dtype)).collect(engine="streaming").to_series().drop_nulls()
    return sum(read(json_in(text)) is not None for text in cells) / max(len(cells), 1)


def _read(name: str, dtype: pl.DataType, read: Callable[[Any], Any], kind: str) -> pl.Expr:
    return by_cell(json_of(name, dtype), lambda text: read(json_in(text)), kind).alias(name)
