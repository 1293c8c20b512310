"""Large tables go through an engine in parts, so that memory holds the requests and answers of one part alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from factory.files.streaming import compact, give_back, height
from factory.files.table_file import ROW_GROUP, TableFile, sink

AT_ONCE = 20_000
"""Rows whose requests are with the engine at a time: enough to keep any batch full."""
_PLACE, _ROW = "__place__", "__row__"


def parts(table: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """`table` in order, AT_ONCE rows at a time; an empty one is a part of its own."""
    at = 0
    # A slice of a scanned file reads the row groups that it lies in, and no others.
    while (part := table.slice(at, AT_ONCE).collect()).height or not at:
        yield part
        del part
        give_back()
        at += AT_ONCE


def of_iteration(prompts: pl.LazyFrame, iteration: int) -> pl.LazyFrame:
    """The prompts of an iteration, in the order of the tables made of them, so that these can be read part by part."""
    # Sorted once and held: each slice of a lazy table would sort all of it again.
    return prompts.filter(pl.col("portion") == iteration).sort("prompt_id").collect().lazy()


def beside(prompts: pl.LazyFrame, table: pl.LazyFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The prompts part by part, each with its rows of a table that has one for every prompt, in the same order."""
    return zip(parts(prompts), parts(table), strict=True)


def left_of_part(at: int) -> int:
    """How many rows the part that row `at` lies in has from there on, if the table is long enough."""
    return AT_ONCE - at % AT_ONCE


def in_order(folder: Path, rows: pl.LazyFrame, ids: pl.Series) -> pl.LazyFrame:
    """The `rows` of these ids in the order of `ids`, each once, as a table in `folder`; memory holds a part of it."""
    whole = TableFile(folder / "ordered.parquet")
    for _, path in sorted(dealt(folder, rows, ids).items()):
        part = pl.read_parquet(path, glob=False).unique(_PLACE, keep="first", maintain_order=True)
        whole.add(part.sort(_PLACE).drop(_PLACE))
        path.unlink()
    whole.close()
    return pl.scan_parquet(folder / "ordered.parquet", glob=False)


def dealt(folder: Path, rows: pl.LazyFrame, ids: pl.Series) -> dict[int, Path]:
    """The `rows` of each part of these ids, by its number, in files in `folder`; what is of no part is left out.

    The rows are read for their ids, and once more; memory holds a part of them. Each has its place among the ids beside
    it.
    """
    sink(compact(_placed(rows, ids)), folder / "picked.parquet", row_group_size=ROW_GROUP)
    files: dict[int, TableFile] = {}
    for part in parts(pl.scan_parquet(folder / "picked.parquet", glob=False)):
        # A part of the rows may hold some of every part of the ids: each goes to its own file.
        for (number,), some in part.group_by((pl.col(_PLACE) // AT_ONCE).cast(pl.Int64), maintain_order=True):
            if number not in files:
                files[number] = TableFile(folder / f"{number}.parquet")
            files[number].add(some)
    for table in files.values():
        table.close()
    (folder / "picked.parquet").unlink()
    return {number: folder / f"{number}.parquet" for number in files}


def _placed(rows: pl.LazyFrame, ids: pl.Series) -> pl.LazyFrame:
    """The rows of these ids with their place among them.

    Ids alone are joined: a join may hold the whole of either side.
    """
    wanted = pl.LazyFrame({"pair_id": ids}).with_row_index(_PLACE)
    joined = rows.select("pair_id").with_row_index(_ROW).join(wanted, on="pair_id").select(_ROW, _PLACE)
    found = joined.collect(engine="streaming")
    # An array, in which a row looks its place up; -1 is none.
    places = np.full(height(rows), -1, dtype=np.int64)
    places[found[_ROW].to_numpy()] = found[_PLACE].to_numpy()
    # is_elementwise, or polars would gather the whole column before it asks.
    place = pl.col(_ROW).map_batches(lambda row: pl.Series(places[row.to_numpy()]), pl.Int64, is_elementwise=True)
    return rows.with_row_index(_ROW).with_columns(place.alias(_PLACE)).filter(pl.col(_PLACE) >= 0).drop(_ROW)
