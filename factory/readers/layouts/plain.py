"""A prompt and two replies, all of them texts; also TRL's standard explicit layout."""

import polars as pl

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import is_text, said, under_system
from factory.readers.transcripts import asked, is_transcript

_PROMPTS = ("prompt", "question")


def _prompt(columns: Columns) -> str | None:
    return next((name for name in _PROMPTS if is_text(columns.get(name))), None)


def _fits(columns: Columns) -> bool:
    return _prompt(columns) is not None and is_text(columns.get("chosen")) and is_text(columns.get("rejected"))


def _rows(columns: Columns) -> pl.Expr:
    return pl.col(_prompt(columns) or "").is_not_null()


def _parts(columns: Columns) -> Parts:
    name = _prompt(columns) or ""
    text = pl.col(name)
    turns = pl.when(is_transcript(text)).then(asked(text)).otherwise(said("user", text))
    used = frozenset({name, "system", "chosen", "rejected"})
    return Parts(under_system(columns, turns), pl.col("chosen"), pl.col("rejected"), used)


PLAIN = Layout("plain", "prompt (or question), chosen, rejected: text; system: text, optional", _fits, _parts, _rows)
