"""The rows that the readers reject, in the columns of REJECTED."""

from collections.abc import Mapping, Sequence

import polars as pl

from factory.readers.normal import UNREADABLE
from factory.schema import REJECTED

READ = "read"
"""What the column `filter` says of them."""


def rejected_rows(rows: pl.LazyFrame, reason: pl.Expr, detail: pl.Expr, columns: Sequence[str]) -> pl.LazyFrame:
    """Filter, reason and detail, then `columns` of the rows."""
    tokens = {"filter": pl.lit(READ), "reason": reason, "detail": detail}
    return rows.select(*(token.cast(pl.String).alias(name) for name, token in tokens.items()), *columns)


def unread_rows(unread: pl.DataFrame, source: str | None) -> pl.LazyFrame:
    """The rows of a file that could not even be parsed."""
    rows = unread.lazy().with_columns(source_of({}, source).alias("source"))
    return rejected_rows(rows, pl.lit(UNREADABLE), pl.col("detail"), ["source", "row"])


def no_rejects() -> pl.LazyFrame:
    """Not a row."""
    return REJECTED.empty().lazy()


def source_of(columns: Mapping[str, pl.DataType], source: str | None) -> pl.Expr:
    """A row's own source, or the one given where it has none."""
    if columns.get("source") != pl.String:
        return pl.lit(source, dtype=pl.String)
    return pl.col("source").fill_null(pl.lit(source, dtype=pl.String))
