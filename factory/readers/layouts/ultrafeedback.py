"""UltraFeedback-binarized: the prompt as a text, chosen and rejected as whole conversations."""

import polars as pl

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import is_messages, is_text, said, turns_of


def _fits(columns: Columns) -> bool:
    replies = is_messages(columns.get("chosen")) and is_messages(columns.get("rejected"))
    return replies and is_text(columns.get("prompt"))


def _parts(columns: Columns) -> Parts:
    chosen, rejected = (turns_of(name, columns[name]) for name in ("chosen", "rejected"))
    used = frozenset({"prompt", "chosen", "rejected"})
    return Parts(said("user", pl.col("prompt")), chosen, rejected, used, conversations=True)


ULTRAFEEDBACK = Layout("ultrafeedback", "prompt: text; chosen, rejected: message lists", _fits, _parts)
