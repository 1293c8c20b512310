"""One id, one row: tables are joined by pair_id, so no two pairs that are read may share one."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from factory.identity import digest
from factory.readers.ids import pair_ids

_ROW, _ID, _CONTENT, _BASE, _COPY, _FRAME = "__row", "pair_id", "__content", "__base", "__copy", "__frame"


class Identified(NamedTuple):
    """Pairs, and cheaper frames in which equal rows show."""

    pairs: pl.LazyFrame
    ids: pl.LazyFrame
    """The column pair_id, of these pairs at least."""
    keys: pl.LazyFrame | None = None
    """Where ids are content hashes, which are dear: one number per pair, the same for the same content."""


def with_unique_ids(frames: Sequence[Identified]) -> list[pl.LazyFrame]:
    """The pairs of each frame, those that share a pair_id given another one.

    Copies of one pair keep their id on the first and have it hashed with their number on the others. Different pairs
    under one id, as when two files number their rows alike, get their content hash.
    """
    keys = [frame.keys for frame in frames if frame.keys is not None]
    if len(keys) == len(frames) and not _repeated(keys).len():
        return [frame.pairs for frame in frames]
    shared = _shared([frame.ids for frame in frames])
    pairs = [frame.pairs for frame in frames]
    while shared.len():
        clashes = [_clashing(frame, shared) for frame in pairs]
        fixes = _new_ids(clashes)
        pairs = [_renamed(frame, fixes.filter(pl.col(_FRAME) == place)) for place, frame in enumerate(pairs)]
        shared = _shared(pairs)
    return pairs


def _shared(frames: Sequence[pl.LazyFrame]) -> pl.Series:
    """Hashes of the ids that are there more than once. Hashes, since ten million ids would fill the memory."""
    return _repeated([frame.select(pl.col(_ID).hash()) for frame in frames])


def _repeated(numbers: Sequence[pl.LazyFrame]) -> pl.Series:
    """The numbers of one-column frames that are there more than once."""
    if not numbers:
        return pl.Series(dtype=pl.UInt64)
    every = pl.concat([frame.collect(engine="streaming") for frame in numbers]).to_series()
    return every.filter(every.is_duplicated()).unique()


def _clashing(frame: pl.LazyFrame, shared: pl.Series) -> pl.DataFrame:
    content = pair_ids(pl.col("prompt"), pl.col("chosen"), pl.col("rejected"))
    rows = frame.with_row_index(_ROW).filter(pl.col(_ID).hash().is_in(shared.implode()))
    return rows.select(_ROW, _ID, content.alias(_CONTENT)).collect(engine="streaming")


def _new_ids(clashes: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Frame number, row number and new id of each row whose id must change."""
    numbered = [rows.with_columns(pl.lit(place).alias(_FRAME)) for place, rows in enumerate(clashes)]
    copies = pl.col(_CONTENT).n_unique().over(_ID) == 1
    based = pl.concat(numbered).with_columns(pl.when(copies).then(_ID).otherwise(_CONTENT).alias(_BASE))
    counted = based.with_columns(pl.int_range(pl.len()).over(_BASE).alias(_COPY))
    new = [base if not copy else digest([base, copy]) for base, copy in counted.select(_BASE, _COPY).iter_rows()]
    return counted.with_columns(pl.Series(_BASE, new, dtype=pl.String)).filter(pl.col(_BASE) != pl.col(_ID))


def _renamed(frame: pl.LazyFrame, fixes: pl.DataFrame) -> pl.LazyFrame:
    """By a join: `replace_strict` is no part of polars' streaming, which would hold all texts until it has every id."""
    if not fixes.height:
        return frame
    new = fixes.lazy().select(_ROW, _BASE)
    named = frame.with_row_index(_ROW).join(new, on=_ROW, how="left", maintain_order="left")
    return named.with_columns(pl.coalesce(_BASE, _ID).alias(_ID)).drop(_ROW, _BASE)
