"""A prompt and two replies, all of them texts: TRL's standard explicit layout, axolotl's, LLaMA-Factory's alpaca."""

import polars as pl

from factory.readers.asked import asked
from factory.readers.explicit import explicit, prompted
from factory.readers.layouts.base import Columns, Layout, Parts


def _fits(columns: Columns) -> bool:
    return prompted(columns, "text") is not None


def _rows(columns: Columns) -> pl.Expr | None:
    found = asked(columns)
    return None if found is None else found.given


def _parts(columns: Columns) -> Parts:
    return explicit(columns, asked(columns))


PLAIN = Layout(
    "plain",
    "prompt (or question, query, instruction with input, …), chosen, rejected: text; system, history: optional",
    _fits,
    _parts,
    _rows,
    rest=True,
)
