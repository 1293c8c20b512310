"""What other packages hold in memory: data sets, and frames that are handed on as Arrow has them."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import polars as pl

from factory.errors import InputError, first_line
from factory.readers.inputs.class_names import by_name
from factory.readers.inputs.opened import InputTable


class Dataset(Protocol):
    """What is needed of a `datasets.Dataset`."""

    def to_polars(self) -> Any:
        """The rows as a polars frame."""


class ArrowTable(Protocol):
    """What is needed of a frame of pandas, a table of pyarrow, and whatever else hands its rows on as Arrow does."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The rows, by Arrow's PyCapsule interface."""


Table: TypeAlias = pl.DataFrame | pl.LazyFrame | Dataset | ArrowTable
"""Rows in memory."""


def tables_in(data: Any, where: str, stem: str | None, split: str | None = None) -> list[InputTable]:
    """The tables of a data set in memory, one or several by split. Raises InputError for what is none."""
    if isinstance(data, Mapping):
        parts = data.items()
        return [made for name, part in parts for made in tables_in(part, f"{where}, split {name}", stem, name)]
    if callable(getattr(data, "to_polars", None)):
        return [InputTable(where, stem, frame=by_name(data.to_polars().lazy(), data.features or {}), split=split)]
    if hasattr(data, "__arrow_c_stream__"):
        return [InputTable(where, stem, frame=_handed_on(data, where).lazy(), split=split)]
    kind = type(data).__name__
    raise InputError(f"{where}: a {kind} is no table; give a path, a polars or pandas frame, or a datasets.Dataset")


def _handed_on(data: Any, where: str) -> pl.DataFrame:
    """A frame of another package, its index left out."""
    try:
        return pl.DataFrame(data)
    except (ValueError, TypeError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{where}: it cannot be read as a table ({first_line(error)})") from error
