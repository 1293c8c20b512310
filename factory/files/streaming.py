"""How much of a table is in hand as it streams."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

ROWS = 2_000
"""Rows of a morsel. Polars reads some dozens of them ahead; at its own 100,000 those of pairs are whole row groups."""
AHEAD = "POLARS_ROW_GROUP_PREFETCH_SIZE"
"""Variable that polars asks for the row groups it may read ahead of those in use, of all files together; by itself it
reads more of them the more files and processors there are."""
GROUPS_AHEAD = "2"
"""What it is told here."""
_NOTHING = {pl.String: pl.lit(""), pl.Binary: pl.lit(b"")}


@contextmanager
def small_morsels(rows: int = ROWS) -> Iterator[None]:
    """Within this, or a function that it decorates, tables of texts stream a few rows at a time.

    Memory then does not grow with the number of files, as polars by itself lets it. Who has set AHEAD is left his own.
    """
    before = os.environ.get(AHEAD)
    # A context, as the setting is the whole process's, and others stream numbers.
    with pl.Config(streaming_chunk_size=rows):
        os.environ[AHEAD] = before or GROUPS_AHEAD
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(AHEAD, None)


def compact(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The same rows, which keep no texts but their own in memory.

    A text in polars is a view into what was read at once, so that a row picked out of a thousand keeps all of their
    texts alive: one pair in a hundred of 300,000, collected or on their way into a file, held a gigabyte.
    """
    kinds = rows.collect_schema().items()
    return rows.with_columns(_copied(pl.col(name), kind).alias(name) for name, kind in kinds if _has_texts(kind))


def few(rows: pl.LazyFrame) -> pl.DataFrame:
    """`rows`, picked out of many, collected."""
    return compact(rows).collect(engine="streaming")


def height(rows: pl.LazyFrame) -> int:
    """The number of rows, counted batch by batch: polars' own count of a million pairs as read held 0.9 GB of them."""
    first = rows.select(rows.collect_schema().names()[0])
    return sum(batch.height for batch in first.collect_batches(engine="streaming"))


def give_back() -> None:
    """Hand the memory that Python has freed back to the system, where glibc keeps it.

    Polars allocates beside it: after 100,000 judged pairs 0.28 of 0.61 GB were nobody's, and all came on top.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _copied(value: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """The same values, whose texts lie in new memory: adding nothing to a text copies it."""
    if isinstance(kind, pl.List):
        return value.list.eval(_copied(pl.element(), _inner(kind)))
    if isinstance(kind, pl.Array):
        return value.arr.eval(_copied(pl.element(), _inner(kind)))
    if isinstance(kind, pl.Struct):
        fields = [_copied(value.struct.field(field.name), _dtype(field)).alias(field.name) for field in kind.fields]
        return pl.when(value.is_not_null()).then(pl.struct(fields))
    return value + _NOTHING[type(kind)] if type(kind) in _NOTHING else value


def _has_texts(kind: pl.DataType) -> bool:
    if isinstance(kind, pl.Struct):
        return any(_has_texts(_dtype(field)) for field in kind.fields)
    return _has_texts(_inner(kind)) if isinstance(kind, pl.List | pl.Array) else type(kind) in _NOTHING


def _inner(kind: pl.List | pl.Array) -> pl.DataType:
    # `inner` may be a bare class of types; a Series of it has the type as an instance.
    return pl.Series(dtype=kind.inner).dtype


def _dtype(field: pl.Field) -> pl.DataType:
    return pl.Series(dtype=field.dtype).dtype
