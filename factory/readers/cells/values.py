"""A cell's value as text, as JSON, as what its JSON says, and as what its word stands for."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from factory.files.json_text import parsed
from factory.readers.messages import ODD, TURNS, PolarsType, plain


def text_of(name: str, dtype: PolarsType) -> pl.Expr:
    """A column as text: what is no plain value as JSON, bytes as hexadecimal digits, spans of time as in ISO 8601."""
    column = pl.col(name)
    if not dtype.is_nested():
        return _said(column, dtype)
    return pl.when(column.is_not_null()).then(json_text(_writable(column, dtype)))


def json_text(value: pl.Expr) -> pl.Expr:
    """A value of plain types, or lists or structs of them, as JSON."""
    # Only structs are promised to be encoded, so that a value is put into one, which is then cut off.
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
    # polars casts a span of time to no text by itself.
    if dtype == pl.Duration:
        return value.dt.to_string("iso")
    # The encoder of JSON panics at bytes, and a cast of them to text fails where they are no UTF-8.
    return value.bin.encode("hex") if dtype == pl.Binary else value.cast(pl.String)


def _simple(dtype: PolarsType) -> bool:
    if isinstance(dtype, pl.List):
        return _simple(dtype.inner)
    if isinstance(dtype, pl.Struct):
        return all(_simple(inner) for inner in dtype.to_schema().values())
    return (dtype.is_numeric() and not dtype.is_decimal()) or dtype in (pl.Boolean, pl.String, pl.Null)


def is_true(name: str) -> pl.Expr:
    """Whether a column says yes, be it in words or a number."""
    return pl.col(name).cast(pl.String).str.to_lowercase().is_in(("true", "1", "yes")).fill_null(value=False)


def json_in(text: str | None) -> Any:
    """A JSON value; None for what is none."""
    try:
        return None if text is None else parsed(text)
    except ValueError:
        return None


def looked_up(key: pl.Expr, words: Mapping[Any, object], dtype: PolarsType) -> pl.Expr:
    """What each key stands for, null where it is none of `words`.

    As `replace_strict`, which is no part of polars' streaming: it would hold the table until every key is there.
    """

    def look_up(keys: pl.Series) -> pl.Series:
        return keys.replace_strict(list(words), list(words.values()), default=None, return_dtype=dtype)

    return key.map_batches(look_up, return_dtype=dtype, is_elementwise=True)
