"""Frames with different columns, one below the other, without losing a value."""

from collections.abc import Sequence

import polars as pl

from factory.readers.messages import ODD, TURNS, PolarsType, plain

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
    return pl.concat(cast, how="diagonal") if cast else pl.LazyFrame()


def _common(dtypes: Sequence[pl.DataType]) -> pl.DataType:
    if len(dtypes) <= 1:
        return dtypes[0] if dtypes else pl.Null()
    whole = [dtype for dtype in dtypes if dtype in _WHOLE]
    if len(whole) == len(dtypes):
        return pl.Int64()
    if all(dtype in whole or dtype.is_float() for dtype in dtypes):
        return pl.Float64()
    return pl.String()


def _as(name: str, dtype: pl.DataType, target: pl.DataType) -> pl.Expr:
    if target == pl.String and dtype != pl.Null:
        return text_of(name, dtype).alias(name)
    return pl.col(name).cast(target)


def text_of(name: str, dtype: PolarsType) -> pl.Expr:
    """A column as text: what is no plain value as JSON, bytes as hexadecimal digits, spans of time as in ISO 8601."""
    column = pl.col(name)
    if not dtype.is_nested():
        return _said(column, dtype)
    return pl.when(column.is_not_null()).then(json_text(_writable(column, dtype)))


def json_text(value: pl.Expr) -> pl.Expr:
    """A value of plain types, or lists or structs of them, as JSON."""
    return pl.struct(value.alias("v")).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")


def json_of(name: str, dtype: PolarsType) -> pl.Expr:
    """A column as JSON texts; texts, which may be JSON written out, and what is kept as JSON stay as they are."""
    return pl.col(name).struct.field("json") if dtype == ODD else text_of(name, dtype)


def row_json(schema: pl.Schema) -> pl.Expr:
    """Every column of a row, as one JSON object."""
    parts = [_writable(pl.col(name), dtype).alias(name) for name, dtype in schema.items()]
    return pl.struct(parts).struct.json_encode() if parts else pl.lit("{}")


def _writable(value: pl.Expr, dtype: PolarsType) -> pl.Expr:
    """A value without the notes that the readers make on messages, and with text for what JSON cannot hold."""
    if dtype == TURNS:
        return plain(value)
    if dtype == ODD:
        return value.struct.field("json")
    if _simple(dtype):
        return value
    if isinstance(dtype, pl.Array):
        value, dtype = value.arr.to_list(), pl.List(dtype.inner)
    if isinstance(dtype, pl.List):
        return value.list.eval(_writable(pl.element(), dtype.inner))
    if isinstance(dtype, pl.Struct):
        fields = [_writable(value.struct.field(name), inner).alias(name) for name, inner in dtype.to_schema().items()]
        return pl.when(value.is_not_null()).then(pl.struct(fields)) if fields else value
    return _said(value, dtype)


def _said(value: pl.Expr, dtype: PolarsType) -> pl.Expr:
    if dtype == pl.Duration:
        return value.dt.to_string("iso")
    return value.bin.encode("hex") if dtype == pl.Binary else value.cast(pl.String)


def _simple(dtype: PolarsType) -> bool:
    if isinstance(dtype, pl.List):
        return _simple(dtype.inner)
    if isinstance(dtype, pl.Struct):
        return all(_simple(inner) for inner in dtype.to_schema().values())
    return (dtype.is_numeric() and not dtype.is_decimal()) or dtype in (pl.Boolean, pl.String, pl.Null)
