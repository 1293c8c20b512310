"""The user's own columns: what becomes of those that the factory has no meaning for, or another one."""

from collections.abc import Collection, Mapping

import polars as pl

from factory.readers.messages import ODD, TURN, TURNS, plain
from factory.readers.names import free
from factory.schema import LOGPS, MESSAGE, PAIRS

KNOWN: dict[str, pl.DataType] = {**PAIRS.dtypes, **{name: column.dtype for name, column in LOGPS.items()}}
"""Columns of pairs that mean something to the factory, and their types."""


def fitting(name: str, dtype: pl.DataType) -> bool:
    """Whether a column can serve as the factory's of that name; True for names that mean nothing to it."""
    wanted = KNOWN.get(name)
    if wanted is None or dtype in (wanted, pl.Null):
        return True
    if wanted == pl.String:
        return isinstance(dtype, pl.Categorical | pl.Enum)
    return (wanted == pl.Int64 and dtype.is_integer()) or (wanted == pl.Float64 and dtype.is_numeric())


def own(columns: Mapping[str, pl.DataType]) -> pl.Schema:
    """The user's columns, without those that pass between the readers."""
    return pl.Schema({name: dtype for name, dtype in columns.items() if not name.startswith("__")})


def extra_columns(
    columns: Mapping[str, pl.DataType], spent: Collection[str], taken: Collection[str]
) -> dict[str, pl.Expr]:
    """The columns of a file that go with its pairs or prompts, by the name they get; `spent` ones do not go.

    One that the factory knows gets the factory's type where its own fits. One whose type does not, or whose name is
    `taken`, becomes `given_NAME`.
    """
    out: dict[str, pl.Expr] = {}
    for name, dtype in columns.items():
        # A source of another type is not ours, and follows as given_source.
        if name in spent or (name == "source" and dtype == pl.String):
            continue
        if name not in taken and fitting(name, dtype):
            column = _clean(name, dtype)
            out[name] = column.cast(KNOWN[name]) if name in KNOWN else column
        # A column that is empty throughout tells nothing under another name.
        elif dtype != pl.Null:
            out[free(name, columns)] = _clean(name, dtype)
    return out


def _clean(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column without the notes that the readers make on messages."""
    if dtype == TURNS:
        return plain(pl.col(name))
    if dtype == TURN:
        # The note why a turn cannot be used is for the readers alone.
        return pl.struct(pl.col(name).struct.field(field) for field in MESSAGE.to_schema())
    return pl.col(name).struct.field("json") if dtype == ODD else pl.col(name)
