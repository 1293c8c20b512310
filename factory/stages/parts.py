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


def of_iteration(prompts: pl.LazyFrame, iteration: int) -> pl.LazyFrame:
    """The prompts of an iteration, in the order of the tables made of them, so that these can be read part by part."""
    return prompts.filter(pl.col("portion") == iteration).sort("prompt_id").collect().lazy()


def beside(prompts: pl.LazyFrame, table: pl.LazyFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The prompts part by part, each with its rows of a table that has one for every prompt, in the same order."""
    return zip(parts(prompts), parts(table), strict=True)
