"""Our own pairs table, and any other with a message list as prompt and texts as replies."""

import polars as pl

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import is_messages, is_text, turns_of


def _fits(columns: Columns) -> bool:
    return is_messages(columns.get("prompt")) and is_text(columns.get("chosen")) and is_text(columns.get("rejected"))


def _parts(columns: Columns) -> Parts:
    used = frozenset({"prompt", "chosen", "rejected"})
    return Parts(turns_of("prompt", columns["prompt"]), pl.col("chosen"), pl.col("rejected"), used)


OWN = Layout("pairs", "prompt: message list; chosen, rejected: text", _fits, _parts)
