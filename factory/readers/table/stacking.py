"""Frames with different columns, one below the other, without losing a value."""

from collections.abc import Sequence

import polars as pl

from factory.readers.cells.values import text_of

_WHOLE = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)


def stack(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """All rows of `frames`, in order. A column that one lacks is null there; one whose types differ becomes text.

    Numbers of different types become floats where one of them is a float; lists and structs become JSON texts.
    """
    schemas = [frame.collect_schema() for frame in frames]
    kinds: dict[str, list[pl.DataType]] = {}
    for schema in schemas:
        for name, dtype in schema.items():
            known = kinds.setdefault(name, [])
            if dtype not in known and dtype != pl.Null:
                known.append(dtype)
    targets = {name: _common(known) for name, known in kinds.items()}
    cast = []
    for frame, schema in zip(frames, schemas, strict=True):
        changed = [_as(name, dtype, targets[name]) for name, dtype in schema.items() if dtype != targets[name]]
        cast.append(frame.with_columns(changed) if changed else frame)
    # Cast above, as polars' own relaxed way knows nothing that a list and a text could both become.
    return pl.concat(cast, how="diagonal") if cast else pl.LazyFrame()


def _common(dtypes: Sequence[pl.DataType]) -> pl.DataType:
    if len(dtypes) <= 1:
        return dtypes[0] if dtypes else pl.Null()
    whole = [dtype for dtype in dtypes if dtype in _WHOLE]
    if len(whole) == len(dtypes):
        return pl.Int64()
    # UInt64 is none of _WHOLE, as half of it fits no Int64: beside other numbers it becomes text.
    if all(dtype in whole or dtype.is_float() for dtype in dtypes):
        return pl.Float64()
    return pl.String()


def _as(name: str, dtype: pl.DataType, target: pl.DataType) -> pl.Expr:
    if target == pl.String and dtype != pl.Null:
        return text_of(name, dtype).alias(name)
    return pl.col(name).cast(target)
