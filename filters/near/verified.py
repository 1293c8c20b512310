"""Near-duplicates among candidates, by the true Jaccard similarity of their shingles, which wait in a file."""

import os
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.near.candidates import Edges
from filters.words import Ints

ShingleSet = NDArray[np.uint32]


class SetFile:
    """Sorted sets of numbers in a file, by place; in memory are only those that are compared."""

    def __init__(self, path: Path, places: Ints) -> None:
        """An empty file at `path`, to hold a set for each of the `places`, which ascend."""
        # Unbuffered, as what is written is read by its position, past any buffer.
        self._file = path.open("w+b", buffering=0)
        self._places = places
        self._starts, self._sizes = (np.zeros(len(places), dtype=np.int64) for _ in range(2))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, places: Ints, sets: pl.Series) -> None:
        """Write the set of each of some places, a list of UInt32."""
        at, sizes = np.searchsorted(self._places, places), sets.list.len().to_numpy().astype(np.int64)
        self._starts[at] = self._file.tell() // 4 + np.cumsum(sizes) - sizes
        self._sizes[at] = sizes
        numbers = sets.explode(empty_as_null=False, keep_nulls=False).to_numpy().astype(np.uint32, copy=False)
        numbers.tofile(self._file)

    def __getitem__(self, place: int) -> ShingleSet:
        """The set of a place."""
        at = int(np.searchsorted(self._places, place))
        return np.frombuffer(os.pread(self._file.fileno(), 4 * self._sizes[at], 4 * self._starts[at]), dtype=np.uint32)


def resembled(edges: Edges, sets: SetFile, threshold: float) -> dict[int, int]:
    """Row to the kept row that it resembles, for those that resemble one: rows are taken in their order.

    A row whose candidates were themselves dropped is compared with the rows that these resembled.
    """
    order = np.lexsort(edges)
    low, high = (side[order] for side in edges)
    starts = np.flatnonzero(np.diff(high, prepend=-1)).tolist()
    dropped: dict[int, int] = {}
    for start, end in pairwise([*starts, len(high)]):
        row = int(high[start])
        own = sets[row]
        # The row that stays is compared, not the one that resembled it and is gone: or a chain of small changes would
        # drop what resembles nothing kept.
        for other in sorted({dropped.get(one, one) for one in low[start:end].tolist()}):
            if _jaccard(own, sets[other]) >= threshold:
                dropped[row] = other
                break
    return dropped


def _jaccard(one: ShingleSet, other: ShingleSet) -> float:
    """Of two sorted sets; 0 for two empty ones."""
    if not len(one) or not len(other):
        return 0.0
    places = np.minimum(np.searchsorted(other, one), len(other) - 1)
    shared = int(np.count_nonzero(other[places] == one))
    return shared / (len(one) + len(other) - shared)
