"""Candidates: which rows may be near-duplicates of which, by bands of their sketches, whose table stays on disk.

Rows are named by their places in the order in which they have precedence. In memory are some bands of all rows at a
time, and the sketches of those rows that have a candidate.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.base import ROW
from filters.near.sketches import Sketches, bands, byte_columns
from filters.words import Ints, distinct

_NEIGHBOURS = 3
"""Rows on each side of it, in each bucket, that a row is compared with, so that time stays linear."""
_DEVIATIONS = 4.0
"""Candidates whose estimated similarity is this many standard deviations below the threshold are not looked at."""
_AT_ONCE = 1 << 27
"""Numbers of bands that are held at once: all the bands of six million rows."""
_BATCH = 50_000


class Edges(NamedTuple):
    """Two rows each, by place; the earlier one is in `low`."""

    low: Ints
    high: Ints

    def rows(self) -> Ints:
        """Every row that has a candidate."""
        return np.unique(np.concatenate(self))


class SketchTable:
    """The sketches of rows, read once more for each part of them that is needed."""

    def __init__(self, rows: pl.LazyFrame, order: pl.Series) -> None:
        """`rows` has the columns `row` and `sketch`; `order` is their numbers in the order of precedence."""
        self._rows, self.size = rows.select(ROW, "sketch"), len(order)
        numbers = order.to_numpy()
        self._place = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.int64)
        self._place[numbers] = np.arange(self.size)

    def places(self, numbers: pl.Series) -> Ints:
        """The places of the rows of these numbers."""
        return np.asarray(self._place[numbers.to_numpy()])

    def columns(self, wanted: list[int]) -> Sketches:
        """Some columns of all sketches, each as a row of an array."""
        table = np.zeros((len(wanted), self.size), dtype=np.uint32)
        for places, some in self._batches():
            table[:, places] = some[:, wanted].T
        return table

    def ends(self, places: Ints, count: int) -> Sketches:
        """The last `count` columns of the sketches of the rows at `places`, which ascend."""
        wanted = np.zeros(self.size, dtype=bool)
        wanted[places] = True
        table = np.zeros((len(places), count), dtype=np.uint32)
        for here, some in self._batches():
            mine = wanted[here]
            table[np.searchsorted(places, here[mine])] = some[mine, -count:]
        return table

    def _batches(self) -> Iterator[tuple[Ints, Sketches]]:
        """Places, and the sketches of the rows there, a few rows at a time."""
        for batch in self._rows.collect_batches(chunk_size=_BATCH, engine="streaming"):
            yield self.places(batch[ROW]), batch["sketch"].to_numpy()


def candidates(sketches: SketchTable, threshold: float, num_perm: int, at_once: int = _AT_ONCE) -> Edges:
    """Rows that share a band and whose estimated similarity is not far below the threshold.

    `at_once` is how many numbers of bands are held, of two bands at least.
    """
    count = bands(threshold, num_perm)[0]
    codes = _proposed(sketches, count, max(1, at_once // max(sketches.size, 1) - 1))
    low, high = np.divmod(codes, max(sketches.size, 1))
    seen = Edges(low, high).rows()
    # One byte of each value is enough to estimate by, and a quarter of the memory; whatever passes is verified by its
    # true sets.
    bytes_ = sketches.ends(seen, byte_columns(num_perm)).view(np.uint8)[:, :num_perm]
    least = threshold - _DEVIATIONS * np.sqrt(threshold * (1 - threshold) / num_perm)
    alike = np.zeros(len(codes), dtype=bool)
    for at in range(0, len(codes), 100_000):
        part = slice(at, at + 100_000)
        one, other = (bytes_[np.searchsorted(seen, side[part])] for side in (low, high))
        alike[part] = (one == other).mean(axis=1) >= least
    return Edges(low[alike], high[alike])


def _proposed(sketches: SketchTable, count: int, at_once: int) -> Ints:
    """Rows that lie beside each other in a bucket of any band, as low * rows + high."""
    codes = np.zeros(0, dtype=np.int64)
    for first in range(0, count, at_once):
        last = min(first + at_once, count)
        # And the band after the last one, by which rows of a large bucket of it are put in order.
        table = sketches.columns([band % count for band in range(first, last + 1)])
        for band in range(last - first):
            codes = distinct(np.concatenate([codes, _in_band(table[band], table[band + 1])]))
    return codes


def _in_band(values: NDArray[np.uint32], following: NDArray[np.uint32]) -> Ints:
    """Each row with the few beside it in its bucket, as low * rows + high."""
    crowded = np.flatnonzero(pl.Series(values).is_duplicated().to_numpy())
    # Rows of a large bucket that agree in the next band as well come to lie beside each other.
    order = crowded[np.lexsort((crowded, following[crowded], values[crowded]))]
    bucket = values[order]
    found = [np.zeros(0, dtype=np.int64)]
    for back in range(1, _NEIGHBOURS + 1):
        same = bucket[back:] == bucket[:-back]
        left, right = order[:-back][same], order[back:][same]
        found.append(np.minimum(left, right) * len(values) + np.maximum(left, right))
    return np.concatenate(found)
