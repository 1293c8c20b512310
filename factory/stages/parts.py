"""Large tables go through an engine in parts, so that memory holds the requests and answers of one part alone."""

from collections.abc import Iterator

import polars as pl

AT_ONCE = 20_000
"""Rows whose requests are with the engine at a time: enough to keep any batch full."""


def parts(table: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """`table` in order, AT_ONCE rows at a time; an empty one is a part of its own."""
    at = 0
    while (part := table.slice(at, AT_ONCE).collect()).height or not at:
        yield part
        at += AT_ONCE
