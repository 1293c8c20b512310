"""A prompt, two replies, and a label, 1 or 2, that says which one is better (LLMBar)."""

import polars as pl

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import is_text, said

_PROMPTS = ("prompt", "instruction", "input", "question")
_REPLIES = (("response_1", "response_2"), ("output_1", "output_2"))
_LABEL = "label"


def _prompt(columns: Columns) -> str | None:
    return next((name for name in _PROMPTS if is_text(columns.get(name))), None)


def _replies(columns: Columns) -> tuple[str, str] | None:
    return next((pair for pair in _REPLIES if all(is_text(columns.get(name)) for name in pair)), None)


def _fits(columns: Columns) -> bool:
    label = columns.get(_LABEL)
    readable = label is not None and (label.is_integer() or is_text(label))
    return readable and _prompt(columns) is not None and _replies(columns) is not None


def _parts(columns: Columns) -> Parts:
    name, (one, two) = _prompt(columns) or "", _replies(columns) or ("", "")
    label = pl.col(_LABEL).cast(pl.String).str.strip_chars()
    chosen = pl.when(label == "1").then(pl.col(one)).when(label == "2").then(pl.col(two))
    rejected = pl.when(label == "1").then(pl.col(two)).when(label == "2").then(pl.col(one))
    why = pl.format("the label is {}, and only 1 or 2 names a reply", label.fill_null("empty"))
    unreadable = pl.when(~label.is_in(["1", "2"]).fill_null(value=False)).then(why)
    used = frozenset({name, one, two, _LABEL})
    return Parts(said("user", pl.col(name)), chosen, rejected, used, unreadable=unreadable)


LABELLED = Layout("labelled", "prompt, response_1, response_2: text; label: 1 or 2, the better one", _fits, _parts)
