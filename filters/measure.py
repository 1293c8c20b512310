"""Pass one of the funnel: every filter's measures, from one streaming read of the texts."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from factory.errors import InputError
from factory.files.streaming import compact
from factory.files.table_file import sink
from factory.schema import PAIRS, SCORES, Table, check
from filters.base import ROW, Filter, Look
from filters.decisions import looked_up
from filters.pair_words import WordMeasure, measured

IDS = ("pair_id", "prompt_id")


class Measures:
    """A narrow table on disk, one row per pair, that shows each filter the measures it asked for."""

    def __init__(self, pairs: pl.LazyFrame, filters: Sequence[Filter], folder: Path) -> None:
        """Compute the measures of `filters` over `pairs` into a file in `folder`; InputError names a missing column."""
        self._path = folder / "measures.parquet"
        exprs: list[pl.Expr] = []
        on_words: dict[str, WordMeasure] = {}
        self._columns = []
        for position, one in enumerate(filters):
            places = {name: str(_place(exprs, expr)) for name, expr in one.measures().items()}
            words = {f"{position} {name}": (name, measure) for name, measure in one.word_measures().items()}
            on_words |= {place: measure for place, (_, measure) in words.items()}
            self._columns.append(places | {name: place for place, (name, _) in words.items()})
        named = [expr.alias(str(place)) for place, expr in enumerate(exprs)]
        named += [measured(on_words).struct.unnest()] if on_words else []
        self._pairs = _conformed(pairs, filters)
        narrow = self._pairs.with_row_index(ROW).select(ROW, *IDS, *named)
        # A scratch file that is read a few times and removed: speed before size, and nobody filters by its statistics.
        sink(narrow, self._path, compression="lz4", statistics=False)

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(pl.scan_parquet(self._path, glob=False).select(pl.len()).collect().item())

    def scan(self) -> pl.LazyFrame:
        """Row numbers and ids."""
        return pl.scan_parquet(self._path, glob=False).select(ROW, *IDS)

    @property
    def look(self) -> Look:
        """The pairs again, for filters whose measures do not settle all."""
        return Look(self._at, self._path.parent)

    def _at(self, numbers: pl.Series) -> pl.LazyFrame:
        """The SCORES columns of the rows of these numbers, read again."""
        # Looked up, since a join holds thousands of rows of texts before it lets the first one through. Numbered as in
        # the first pass: the funnel holds in the end that the pairs came in the same order.
        wanted = pl.repeat(False, self.size, eager=True).scatter(numbers, True)
        return compact(self._pairs.with_row_index(ROW).filter(looked_up(pl.col(ROW), wanted, ROW)))

    def of(self, position: int) -> pl.LazyFrame:
        """Row numbers, ids and the measures of the filter at `position`."""
        own = [pl.col(place).alias(name) for name, place in self._columns[position].items()]
        return pl.scan_parquet(self._path, glob=False).select(ROW, *IDS, *own)


def _place(exprs: list[pl.Expr], expr: pl.Expr) -> int:
    """Where `expr` is computed; filters that measure the same share it."""
    for place, known in enumerate(exprs):
        # Expressions as such, not what they give: `length_gap` and `length_balance` count the same characters once.
        if known.meta.eq(expr):
            return place
    exprs.append(expr)
    return len(exprs) - 1


def _conformed(pairs: pl.LazyFrame, filters: Sequence[Filter]) -> pl.LazyFrame:
    """The SCORES columns of `pairs` and the filters' `numbers`: absent ones null, others cast.

    InputError where ids, texts or a column that a filter must have are missing.
    """
    needed = Table("pairs", {name: column for name, column in PAIRS.columns.items() if not column.nullable})
    check(pairs, needed)
    schema = pairs.collect_schema()
    columns = []
    for name, dtype in SCORES.dtypes.items():
        column = pl.col(name) if name in schema else pl.lit(None)
        columns.append(column.alias(name) if schema.get(name) == dtype else column.cast(dtype).alias(name))
    return pairs.select(*columns, *_numbers(schema, filters))


def _numbers(schema: pl.Schema, filters: Sequence[Filter]) -> list[pl.Expr]:
    """What filters read beyond SCORES, as floats; NaN, and a text that is no number, is missing."""
    columns: dict[str, pl.Expr] = {}
    for one in filters:
        for name, must in one.numbers.items():
            if must and name not in schema:
                raise InputError(f"the filter {one.name} reads the column {name}; the pairs have {', '.join(schema)}")
            numeric = name in schema and (schema[name].is_numeric() or schema[name] in (pl.String, pl.Boolean, pl.Null))
            # Not strict: a text that is no number is missing, which the filter may count, and no reason to stop.
            column = pl.col(name).cast(pl.Float64, strict=False) if numeric else pl.lit(None, pl.Float64)
            columns[name] = column.fill_nan(None).alias(name)
    return [column for name, column in columns.items() if name not in SCORES.columns]
