"""Axolotl's pairs: system (optional), input, chosen, rejected, all of them texts."""

import polars as pl

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import is_text, said, under_system


def _fits(columns: Columns) -> bool:
    return all(is_text(columns.get(name)) for name in ("input", "chosen", "rejected"))


def _rows(columns: Columns) -> pl.Expr:
    return pl.col("input").is_not_null()


def _parts(columns: Columns) -> Parts:
    prompt = under_system(columns, said("user", pl.col("input")))
    used = frozenset({"system", "input", "chosen", "rejected"})
    return Parts(prompt, pl.col("chosen"), pl.col("rejected"), used)


AXOLOTL = Layout("axolotl", "input, chosen, rejected: text; system: text, optional", _fits, _parts, _rows)
