"""Near-duplicates: MinHash (rensa) of word 5-grams, candidates by bands, verified by the true Jaccard similarity.

The 5-grams of a pair are those of its prompt without system messages, of chosen and of rejected, each marked by where
it stands: a text that all prompts share, and the same replies the other way round, make no pair resemble another.
"""

from array import array
from collections import defaultdict

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rensa import RMinHash

from filters.pair_words import PairWords, WordMeasure
from filters.words import Hashes, Ints, distinct, rolled, runs_at

SHINGLE = 5
"""Words per shingle; a shorter text is one shingle."""
_RECALL = 0.99
"""Share of the pairs at the threshold itself that bands must propose."""
_NEIGHBOURS = 3
"""Rows on each side of it, in each bucket, that a row is compared with, so that time stays linear."""
_DEVIATIONS = 4.0
"""Candidates whose estimated similarity is this many standard deviations below the threshold are not looked at."""
_SEED = 42
_MARKS = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)
"""Of the prompt, chosen and rejected; nothing else is compared."""

Sketches = NDArray[np.uint32]


def shingles(some: PairWords) -> tuple[Hashes, Ints]:
    """The hashes of the shingles of pairs, pair by pair, and how many each pair has; they may repeat."""
    hashes, counts = _compared(some)
    ends = np.cumsum(counts)
    runs = rolled(hashes, SHINGLE)
    found = np.concatenate([runs, np.zeros(len(hashes) - len(runs), dtype=np.uint64)])
    whole = np.ones(len(hashes), dtype=bool)
    for back in range(1, SHINGLE):
        # Runs that reach over the end of their text would join words of two texts.
        whole[ends[counts > back] - back] = False
        # Of a shorter text all words are one shingle, which stands where the text begins.
        whole[(ends - counts)[counts == back]] = True
        starts = (ends - back)[counts == back]
        if len(starts):
            found[starts] = runs_at(hashes, starts, back)
    sizes = np.where(counts > 0, np.maximum(counts - SHINGLE + 1, 1), 0)
    # Three texts a pair, in turn: the marks repeat in that order.
    marks = np.repeat(np.resize(_MARKS, len(sizes)), sizes)
    return found[whole] ^ marks, sizes.reshape(-1, len(_MARKS)).sum(axis=1)


def _compared(some: PairWords) -> tuple[Hashes, Ints]:
    """The words that are compared, and how many of them each pair has in its prompt, in chosen and in rejected."""
    hashes, counts = some.words
    there = some.place < len(_MARKS)
    if not there[counts > 0].all():
        hashes = hashes[np.repeat(there, counts)]
    text = some.pair[there] * len(_MARKS) + some.place[there]
    sums = np.bincount(text, counts[there], some.pairs * len(_MARKS))
    return hashes, sums.astype(np.int64)


def bands(threshold: float, num_perm: int) -> tuple[int, int]:
    """How many bands of how many values: as selective as finds the pairs at the threshold with _RECALL."""
    rows = max(
        (size for size in range(1, num_perm + 1) if 1 - (1 - threshold**size) ** (num_perm // size) >= _RECALL),
        default=1,
    )
    return num_perm // rows, rows


def sketch(threshold: float, num_perm: int) -> WordMeasure:
    """What is kept of a pair to find its candidates: a hash per band, then the lowest byte of each MinHash value."""
    dtype = pl.Array(pl.UInt32, bands(threshold, num_perm)[0] + -(-num_perm // 4))
    return WordMeasure(dtype, lambda some: pl.Series(_sketch(some, threshold, num_perm), dtype=dtype))


def _sketch(some: PairWords, threshold: float, num_perm: int) -> Sketches:
    found, sizes = shingles(some)
    ends = np.concatenate(([0], np.cumsum(sizes))).astype(np.uint64)
    rows = RMinHash.digest_matrix_from_flat_token_hashes(found, ends, num_perm, _SEED).to_rows()
    # Row by row into bytes: numpy takes three times as long over lists of numbers.
    values = np.frombuffer(b"".join(array("I", row) for row in rows), dtype=np.uint32).reshape(-1, num_perm)
    count, size = bands(threshold, num_perm)
    # 32 bits a band: two that agree by chance are proposed in vain, and verified like all others.
    hashes = np.zeros((len(values), count), dtype=np.uint32)
    for place in range(size):
        hashes = hashes * np.uint32(0x9E3779B1) + values[:, place : count * size : size]
        hashes ^= hashes >> np.uint32(15)
    low = np.zeros((len(values), -(-num_perm // 4) * 4), dtype=np.uint8)
    low[:, :num_perm] = values
    return np.concatenate([hashes, low.view(np.uint32)], axis=1)


class Edges:
    """Candidates: positions of two rows each, the earlier first."""

    def __init__(self, table: Sketches, threshold: float, num_perm: int) -> None:
        """From the sketches of rows in the order in which they have precedence."""
        count = bands(threshold, num_perm)[0]
        proposed = [_in_band(table, band, count) for band in range(count)]
        codes = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *proposed]))
        low, high = np.divmod(codes, max(len(table), 1))
        least = threshold - _DEVIATIONS * np.sqrt(threshold * (1 - threshold) / num_perm)
        # One byte of each value is enough to estimate by, and a quarter of the memory; whatever passes is verified by
        # its true sets.
        bytes_ = table[:, count:].copy().view(np.uint8)[:, :num_perm]
        alike = np.zeros(len(codes), dtype=bool)
        for at in range(0, len(codes), 100_000):
            part = slice(at, at + 100_000)
            alike[part] = (bytes_[low[part]] == bytes_[high[part]]).mean(axis=1) >= least
        self.low, self.high = low[alike], high[alike]

    def rows(self) -> Ints:
        """Every row that has a candidate."""
        return np.unique(np.concatenate([self.low, self.high]))


def _in_band(table: Sketches, band: int, count: int) -> Ints:
    """Each row with the few beside it in its bucket, as low * rows + high."""
    crowded = np.flatnonzero(pl.Series(table[:, band]).is_duplicated().to_numpy())
    # Rows of a large bucket that agree in the next band as well come to lie beside each other.
    order = crowded[np.lexsort((crowded, table[crowded, (band + 1) % count], table[crowded, band]))]
    bucket = table[order, band]
    found = [np.zeros(0, dtype=np.int64)]
    for back in range(1, _NEIGHBOURS + 1):
        same = bucket[back:] == bucket[:-back]
        left, right = order[:-back][same], order[back:][same]
        found.append(np.minimum(left, right) * len(table) + np.maximum(left, right))
    return np.concatenate(found)


def _sets(some: PairWords) -> pl.Series:
    """The different shingles of each pair, as sorted 32-bit hashes."""
    found, sizes = shingles(some)
    owner = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    # Owner and hash in one number, so that a single sort makes every set, in order and without repeats.
    ordered = distinct((owner << np.uint64(32)) | (found >> np.uint64(32)))
    ends = np.searchsorted(ordered >> np.uint64(32), np.arange(1, len(sizes)))
    parts = (pl.Series(part.astype(np.uint32)) for part in np.split(ordered, ends))
    return pl.Series(list(parts), dtype=pl.List(pl.UInt32))


SHINGLE_SETS = WordMeasure(pl.List(pl.UInt32), _sets)
"""The different shingles of each pair, as sorted 32-bit hashes."""


def resembled(edges: Edges, sets: dict[int, NDArray[np.uint32]], threshold: float) -> dict[int, int]:
    """Row to the kept row that it resembles, for those that resemble one: rows are taken in their order.

    A row whose candidates were themselves dropped is compared with the rows that these resembled.
    """
    near: defaultdict[int, list[int]] = defaultdict(list)
    for low, high in zip(edges.low.tolist(), edges.high.tolist(), strict=True):
        near[high].append(low)
    dropped: dict[int, int] = {}
    for row in sorted(near):
        # The row that stays is compared, not the one that resembled it and is gone: or a chain of small changes would
        # drop what resembles nothing kept.
        for other in sorted({dropped.get(one, one) for one in near[row]}):
            if _jaccard(sets[row], sets[other]) >= threshold:
                dropped[row] = other
                break
    return dropped


def _jaccard(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    """Of two sorted sets; 0 for two empty ones."""
    if not len(one) or not len(other):
        return 0.0
    places = np.minimum(np.searchsorted(other, one), len(other) - 1)
    shared = int(np.count_nonzero(other[places] == one))
    return shared / (len(one) + len(other) - shared)
