"""What a pair is measured by: the MinHash (rensa) of its word 5-grams, and their set.

The 5-grams of a pair are those of its prompt without system messages, of chosen and of rejected, each marked by where
it stands: a text that all prompts share, and the same replies the other way round, make no pair resemble another.
"""

from array import array

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


def byte_columns(num_perm: int) -> int:
    """Columns of a sketch, behind those of its bands, that hold a byte of each MinHash value."""
    return -(-num_perm // 4)


def sketch(threshold: float, num_perm: int) -> WordMeasure:
    """What is kept of a pair to find its candidates: a hash per band, then the lowest byte of each MinHash value."""
    dtype = pl.Array(pl.UInt32, bands(threshold, num_perm)[0] + byte_columns(num_perm))
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
    low = np.zeros((len(values), 4 * byte_columns(num_perm)), dtype=np.uint8)
    low[:, :num_perm] = values
    return np.concatenate([hashes, low.view(np.uint32)], axis=1)


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
