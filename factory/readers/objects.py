"""Prompts inside an object: `{"messages": […]}` of a request, `{"full_text": …}` of a question, `{"post": …}`."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from factory.readers.messages import (
    NOT_TEXT,
    ODD,
    PROBLEM,
    TOOL_TURNS,
    TURNS,
    PolarsType,
    is_message,
    message_kind,
    turn,
)
from factory.readers.names import REQUESTS
from factory.readers.records import column
from factory.readers.stacking import json_of

_TEXTS = ("full_text", "post", "article", "text", "prompt", "question", "query", "instruction", "content", "value")


def is_object(dtype: PolarsType | None) -> bool:
    """Whether a column holds objects, or lists of them, that are no messages."""
    nested = isinstance(dtype, pl.Struct) or (isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct))
    return dtype == ODD or (nested and not is_message(dtype))


def is_request(value: Any) -> bool:
    """Whether an object is a prompt's wherever it stands, also written out: by a key that no plain text has."""
    if not isinstance(value, dict):
        return False
    messages = value.get("messages")
    told = isinstance(messages, list) and bool(messages) and all(message_kind(item) for item in messages)
    return told or isinstance(value.get("full_text"), str)


def turns_within(name: str, dtype: PolarsType) -> pl.Expr:
    """The prompt within the objects of a column as TURNS; one that holds none is no text, in REQUESTS it is null."""
    unknown = None if name in REQUESTS else [{"role": "user", "content": "", PROBLEM: NOT_TEXT}]

    def look(cells: pl.Series) -> pl.Series:
        found = [None if text is None else _within(text) or unknown for text in cells.to_list()]
        return column(found, "messages").alias(cells.name)

    return json_of(name, dtype).map_batches(look, return_dtype=TURNS, is_elementwise=True)


def _within(text: str) -> list[dict[str, str | None]] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        return _within_object(value[0]) if value and isinstance(value[0], dict) else None
    return _within_object(value) if isinstance(value, dict) else None


def _within_object(value: Mapping[str, Any]) -> list[dict[str, str | None]] | None:
    messages = value.get("messages")
    if isinstance(messages, list) and messages and all(message_kind(item) for item in messages):
        turns = [turn(item) for item in messages]
        return [{**turns[0], PROBLEM: TOOL_TURNS}, *turns[1:]] if value.get("tools") else turns
    told = next((value[key] for key in _TEXTS if isinstance(value.get(key), str)), None)
    if told is None:
        return None
    title = value.get("title")
    whole = f"{title}\n\n{told}" if isinstance(title, str) and title.strip() else told
    return [{"role": "user", "content": whole, PROBLEM: None}]
