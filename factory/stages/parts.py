"""Large tables go through an engine in parts, so that memory holds the requests and answers of one part alone."""

from collections.abc import Iterable

import polars as pl

AT_ONCE = 20_000
"""Rows whose requests are with the engine at a time: enough to keep any batch full."""


def parts(table: pl.DataFrame) -> Iterable[pl.DataFrame]:
    """`table` in order, AT_ONCE rows at a time; an empty one is a part of its own."""
    return table.iter_slices(AT_ONCE) if len(table) else [table]
