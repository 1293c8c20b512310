"""Columns as JSON files hold them, of types that the head of README.md can name."""

import polars as pl

from factory.readers.messages import PolarsType
from factory.readers.stacking import text_of

_NAMED = (pl.String, pl.Int64, pl.Float64, pl.Boolean)


def plain(rows: pl.LazyFrame) -> pl.LazyFrame:
    """`rows` with whole numbers in 64 bits, empty columns as text, and as text what is no text, number or list of them.

    Bytes are written as hexadecimal digits, objects as JSON.
    """
    return rows.select(_column(name, dtype).alias(name) for name, dtype in rows.collect_schema().items())


def _column(name: str, dtype: pl.DataType) -> pl.Expr:
    kind = _kind(dtype)
    if kind is None:
        return text_of(name, dtype)
    return pl.col(name) if kind == dtype else pl.col(name).cast(kind)


def _kind(dtype: PolarsType) -> pl.DataType | None:
    """The type that a column is cast to; None for one that becomes a text."""
    if isinstance(dtype, pl.List | pl.Array):
        inner = _kind(dtype.inner)
        return None if inner is None else pl.List(inner)
    if dtype == pl.Null:
        return pl.String()
    if dtype in _NAMED:
        return dtype if isinstance(dtype, pl.DataType) else dtype()
    if dtype.is_float():
        return pl.Float64()
    return pl.Int64() if dtype.is_integer() and dtype not in (pl.UInt64, pl.Int128, pl.UInt128) else None
