"""The ids of `factory.identity` for whole columns at once; one id, one row, since tables are joined by pair_id."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from factory.identity import digest
from factory.readers.cells.values import json_text

_SLICE = 1_024


def turns_json(prompt: pl.Expr) -> pl.Expr:
    """A MESSAGES expression as the JSON that ids are hashes of: as Python's json module has it, ensure_ascii off."""
    role, content = (pl.element().struct.field(name) for name in ("role", "content"))
    turn = _listed(json_text(role), json_text(content))
    return _listed(prompt.list.eval(turn).list.join(","))


def _listed(*items: pl.Expr) -> pl.Expr:
    """JSON texts as the JSON of a list of them."""
    return pl.concat_str(pl.lit("["), pl.concat_str(items, separator=","), pl.lit("]"))


def prompt_ids(turns: pl.Expr) -> pl.Expr:
    """`identity.prompt_id` of each row, of what `turns_json` gives."""
    return _hashed(turns)


def pair_ids(turns: pl.Expr, chosen: pl.Expr, rejected: pl.Expr) -> pl.Expr:
    """`identity.pair_id` of each row, of what `turns_json` gives and the two texts."""
    return _hashed(_listed(turns, json_text(chosen), json_text(rejected)))


def _digests(texts: pl.Series) -> pl.Series:
    data = texts.cast(pl.Binary)
    out: list[str | None] = []
    for start in range(0, len(data), _SLICE):
        # In slices, as Python's bytes beside polars' own would double a morsel of long texts.
        rows = data.slice(start, _SLICE).to_list()
        out += [None if row is None else hashlib.blake2b(row, digest_size=16).hexdigest() for row in rows]
    return pl.Series(texts.name, out, dtype=pl.String)


def _hashed(text: pl.Expr) -> pl.Expr:
    return text.map_batches(_digests, return_dtype=pl.String(), is_elementwise=True)


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
        # Again until none is shared, since an id that is given may be one that a file has.
        clashes = [_clashing(frame, shared) for frame in pairs]
        fixes = _new_ids(clashes)
        if fixes.is_empty():  # two ids of one hash
            break
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
    # All in memory, at eight bytes a pair.
    every = pl.concat([frame.collect(engine="streaming") for frame in numbers]).to_series()
    return every.filter(every.is_duplicated()).unique()


def _clashing(frame: pl.LazyFrame, shared: pl.Series) -> pl.DataFrame:
    content = pair_ids(turns_json(pl.col("prompt")), pl.col("chosen"), pl.col("rejected"))
    rows = frame.with_row_index(_ROW).filter(pl.col(_ID).hash().is_in(shared.implode()))
    return rows.select(_ROW, _ID, content.alias(_CONTENT)).collect(engine="streaming")


def _new_ids(clashes: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Frame number, row number and new id of each row whose id must change."""
    numbered = [rows.with_columns(pl.lit(place).alias(_FRAME)) for place, rows in enumerate(clashes)]
    # One content under the id: copies of a pair. Several: different pairs that were numbered alike.
    copies = pl.col(_CONTENT).n_unique().over(_ID) == 1
    based = pl.concat(numbered).with_columns(pl.when(copies).then(_ID).otherwise(_CONTENT).alias(_BASE))
    counted = based.with_columns(pl.int_range(pl.len()).over(_BASE).alias(_COPY))
    new = [base if not copy else digest([base, copy]) for base, copy in counted.select(_BASE, _COPY).iter_rows()]
    return counted.with_columns(pl.Series(_BASE, new, dtype=pl.String)).filter(pl.col(_BASE) != pl.col(_ID))


def _renamed(frame: pl.LazyFrame, fixes: pl.DataFrame) -> pl.LazyFrame:
    """Each looked up by its row: a join may hold the texts of all rows where somebody asks for another column."""
    if not fixes.height:
        return frame
    fixes = fixes.sort(_ROW)
    numbers, new = fixes[_ROW], fixes[_BASE]

    def look_up(rows: pl.Series) -> pl.Series:
        at = pl.Series(numbers.search_sorted(rows)).clip(upper_bound=len(numbers) - 1)
        return new.gather(at).set(numbers.gather(at) != rows, None)

    base = pl.col(_ROW).map_batches(look_up, pl.String, is_elementwise=True)
    return frame.with_row_index(_ROW).with_columns(pl.coalesce(base, _ID).alias(_ID)).drop(_ROW)
