"""How much of a table polars has in hand as it streams."""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

ROWS = 2_000
"""Rows of a morsel. Polars reads some dozens of them ahead; at its own 100,000 those of pairs are whole row groups."""
_TEXTS = {pl.String, pl.Binary}
_NUMBERS = {pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64}
_NUMBERS |= {pl.Float32, pl.Float64, pl.Null}


@contextmanager
def small_morsels() -> Iterator[None]:
    """Within this, or a function that it decorates, tables of texts stream a few rows at a time.

    A file of 300,000 pairs in row groups of 10,000 takes half the memory to read, and no more processor time.
    """
    with pl.Config(streaming_chunk_size=ROWS):
        yield


def compact(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The same rows, which keep no texts but their own in memory.

    A text in polars is a view into what was read at once, so that a row picked out of a thousand keeps all of their
    texts alive: one pair in a hundred of 300,000, collected or on their way into a file, held a gigabyte.
    """
    return rows.map_batches(_compacted, streamable=True)


def few(rows: pl.LazyFrame) -> pl.DataFrame:
    """`rows`, picked out of many, collected."""
    return compact(rows).collect(engine="streaming")


def _compacted(rows: pl.DataFrame) -> pl.DataFrame:
    texts = rows.select(column.name for column in rows if _copied(column.dtype))
    # In the oldest layout of Arrow texts lie one after the other, with nothing between them.
    copied = pl.from_arrow(texts.to_arrow(compat_level=pl.CompatLevel.oldest()), schema=texts.schema)
    return rows.with_columns(copied)


def _copied(dtype: pl.DataType) -> bool:
    """Whether a column of this type holds texts, and beside them only what Arrow gives back as it was."""
    leaves = {leaf.base_type() for leaf in _leaves(dtype)}
    return bool(leaves & _TEXTS) and leaves <= _TEXTS | _NUMBERS


def _leaves(dtype: pl.DataType) -> Iterator[pl.DataType]:
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from _leaves(pl.Series(dtype=field.dtype).dtype)
    elif isinstance(dtype, pl.List | pl.Array):
        yield from _leaves(pl.Series(dtype=dtype.inner).dtype)
    else:
        yield dtype
