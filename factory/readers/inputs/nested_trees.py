"""Trees of messages written as one object each, answers within their question, as OpenAssistant exports them."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from factory.readers.cells.records import cell, frames_of
from factory.readers.cells.values import row_json


def messages_in(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a tree, each as the row that it is in a flat file; none where `raw` is no tree with answers."""
    within = raw.get("prompt")
    root = within if isinstance(within, dict) else raw
    if not (isinstance(root.get("message_id"), str) and root.get("replies")):
        return []
    about = {name: value for name, value in raw.items() if name != "prompt"} if root is within else {}
    found: list[dict[str, Any]] = []
    waiting: list[tuple[str | None, Any]] = [(None, root)]
    while waiting:
        parent, node = waiting.pop()
        if not isinstance(node, dict) or not isinstance(node.get("message_id"), str):
            return []
        replies = node.get("replies") or []
        if not isinstance(replies, list):
            return []
        own = {name: value for name, value in node.items() if name != "replies"}
        found.append({**about, **own, "parent_id": parent})
        # Last in, first out: reversed, the messages come in the order in which a flat file has them.
        waiting += [(node["message_id"], reply) for reply in reversed(replies)]
    return found


def flattened(frame: pl.LazyFrame) -> list[pl.LazyFrame]:
    """`frame`, of whose column prompt the objects are such trees, as one row per message; any other as it is."""
    schema = frame.collect_schema()
    trees = schema.get("prompt")
    if not isinstance(trees, pl.Struct) or not {"message_id", "replies"} <= {*trees.to_schema()}:
        return [frame]
    rows = map(json.loads, frame.select(row_json(schema)).collect().to_series())
    messages = (message for row in rows for message in messages_in(row) or [row])
    return [
        one.lazy()
        for one in frames_of({name: cell(name, value) for name, value in message.items()} for message in messages)
    ]
