"""Words as numbers: the hash of every word of many texts at once, and of runs of neighbouring words.

A word is what `split_words` says, lower case in NFKC. In ASCII, which most text is, words are found in the bytes, many
texts in one array; in other texts what beyond ASCII is in no word becomes spaces first. Hashes are the same on every
machine and day.
"""

from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.text import INERT, nfkc, where

_WHOLE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
_WORD = rf"[{_WHOLE}]|[[\p{{L}}\p{{N}}\p{{M}}]--[{_WHOLE}]]+"
"""A word; in scripts that put no spaces between words, a character."""
_BETWEEN = rf"[^\x00-\x7f\p{{L}}\p{{N}}\p{{M}}{_WHOLE}]+"
"""What beyond ASCII is in no word."""
_CHANGING = rf"[^{INERT}]|[\p{{Changes_When_Lowercased}}--[A-Z]]"
"""What NFKC or lower case may change, ASCII aside."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_STEP = 8
"""Bytes of a word that are taken at a time."""
_FIRST = np.array([0, *((1 << 8 * size) - 1 for size in range(1, _STEP + 1))], dtype=np.uint64)
"""Masks that leave so many bytes of eight."""
_CAPITALS = np.uint64(0x4040404040404040)
"""The bit that tells ASCII letters from digits; below it is the one that tells small letters from capitals."""

_Whole = TypeVar("_Whole", bound=np.integer)
Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]


class Words(NamedTuple):
    """The words of texts, one text after another."""

    hashes: Hashes
    counts: Ints
    """Words of each text."""


class Bytes(NamedTuple):
    """Texts whose words can be found in their bytes: each ends in a line feed, and eight bytes follow the last one."""

    data: NDArray[np.uint8]
    ends: Ints
    """Where each text ends."""


def split_words(texts: pl.Series) -> pl.Series:
    """The words of each text, in NFKC and lower case."""
    return nfkc(texts).str.to_lowercase().str.extract_all(_WORD)


def _spaced(texts: pl.Series) -> pl.Series:
    """Texts with the same words, of which all bytes beyond ASCII are in words, and words are apart."""
    plain = where(texts, texts.str.contains(f"{_CHANGING}|[{_WHOLE}]"), _apart)
    return plain.str.replace_all(_BETWEEN, " ")


def _apart(texts: pl.Series) -> pl.Series:
    """Texts in NFKC and lower case, with spaces around what is a word by itself."""
    return nfkc(texts).str.to_lowercase().str.replace_all(f"[{_WHOLE}]", " $0 ")


def in_bytes(texts: pl.Series) -> Bytes:
    """The texts in one array; a null has no words."""
    plain = where(texts, texts.str.len_bytes() != texts.str.len_chars(), _spaced).fill_null("")
    # A line feed, which is in no word, keeps the last word of a text from the first of the next.
    lines = pl.concat([plain + "\n", pl.Series([" " * _STEP])])
    # The oldest Arrow text layout is offsets into one buffer, which numpy can look at without a copy.
    _, offsets, data = lines.to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()
    return Bytes(np.frombuffer(data, dtype=np.uint8), np.frombuffer(offsets, dtype=np.int64)[1:-1])


def hashed(texts: pl.Series) -> Words:
    """The hash of each word of each text; a null has no words."""
    return words_of(in_bytes(texts), 0, len(texts))


def words_of(texts: Bytes, first: int, last: int) -> Words:
    """The words of the texts from `first` to before `last`."""
    start = int(texts.ends[first - 1]) if first else 0
    borders = texts.ends[first:last] - start
    size = int(borders[-1]) if len(borders) else 0
    data = texts.data[start : start + size + _STEP]
    edges = _edges(data[:size])
    starts, sizes = edges[::2], edges[1::2] - edges[::2]
    counts = np.diff(np.searchsorted(starts, borders), prepend=0)
    return Words(_hash(data, starts, sizes), counts)


def _edges(data: NDArray[np.uint8]) -> Ints:
    """Where words begin and end, in turn: ASCII letters and digits are in words, and all bytes beyond ASCII."""
    inside = np.zeros(len(data) + 1, dtype=bool)
    # One bit makes small letters of capitals; below `a` the subtraction wraps to above 26, so one comparison tells.
    small = data | np.uint8(32)
    small -= np.uint8(ord("a"))
    np.less(small, np.uint8(26), out=inside[1:])
    inside[1:] |= data - np.uint8(ord("0")) < np.uint8(10)
    inside[1:] |= data > np.uint8(127)
    return np.flatnonzero(inside[1:] != inside[:-1])


def _hash(data: NDArray[np.uint8], starts: Ints, sizes: Ints) -> Hashes:
    """The hash of the bytes at each start, eight at a time; of up to eight bytes it is one to one."""
    # A view of eight bytes at every byte: the array is read where words are, and never copied.
    eights: Hashes = np.ndarray((len(data) - _STEP + 1,), "<u8", data, strides=(1,))
    hashes = _mixed(_small(eights[starts] & _FIRST[np.minimum(sizes, _STEP)]))
    # Most words have eight letters at most and are done; the loop goes on for ever fewer.
    longer, done = np.flatnonzero(sizes > _STEP), _STEP
    while len(longer):
        more = _small(eights[starts[longer] + done] & _FIRST[np.minimum(sizes[longer] - done, _STEP)])
        hashes[longer] = _mixed(hashes[longer] * _FACTOR + more)
        done += _STEP
        longer = longer[sizes[longer] > done]
    return hashes


def _small(letters: Hashes) -> Hashes:
    """Bytes of words with ASCII's capitals as small letters."""
    capitals = letters & _CAPITALS
    capitals &= ~(letters >> np.uint64(1))
    letters |= capitals >> np.uint64(1)
    return letters


def _mixed(hashes: Hashes) -> Hashes:
    """Every bit in every other; one to one."""
    hashes = (hashes ^ (hashes >> np.uint64(32))) * _FACTOR
    hashes = (hashes ^ (hashes >> np.uint64(29))) * _FACTOR
    return hashes ^ (hashes >> np.uint64(32))


def rolled(hashes: Hashes, size: int) -> Hashes:
    """A hash of each run of `size` neighbouring words; runs may cross from one text into the next. Products wrap."""
    if size == 1 or len(hashes) < size:
        return hashes[: max(len(hashes) - size + 1, 0)]
    half = size // 2
    # A run from two halves, doubled each time: of 13 words five multiplications, not twelve.
    halves = rolled(hashes, half)
    runs = halves[:-half] * np.uint64(pow(int(_FACTOR), half, 1 << 64))
    runs += halves[half:]
    if size % 2:
        runs = runs[:-1] * _FACTOR
        runs += hashes[size - 1 :]
    return runs


def rolled_each(hashes: Hashes, size: int, step: int) -> Hashes:
    """`rolled`, of the runs that begin at every `step`-th word."""
    count = max((len(hashes) - size) // step + 1, 0)
    runs = hashes[::step][:count].copy()
    for offset in range(1, size):
        runs *= _FACTOR
        runs += hashes[offset::step][:count]
    return runs


def runs_at(hashes: Hashes, starts: Ints, size: int) -> Hashes:
    """`rolled`, of the runs of `size` words that start in these places."""
    runs = hashes[starts]
    for offset in range(1, size):
        runs *= _FACTOR
        runs += hashes[starts + offset]
    return runs


def whole(words: Words) -> Hashes:
    """A hash of all words of each text, in their order."""
    starts = np.cumsum(words.counts) - words.counts
    places = np.arange(len(words.hashes)) - np.repeat(starts, words.counts)
    powers = np.cumprod(np.full(max(words.counts, default=0), _FACTOR))
    # Sums wrap at 2^64, and so do their differences: a text's own sum comes out whatever stood before it.
    sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(words.hashes * powers[places])))
    return _mixed(sums[starts + words.counts] - sums[starts] + words.counts.astype(np.uint64))


def distinct(numbers: NDArray[_Whole]) -> NDArray[_Whole]:
    """The different numbers, sorted; sorts in place. `np.unique` counts by a hash table, which is slower by far."""
    numbers.sort()
    return numbers[np.concatenate(([True], numbers[1:] != numbers[:-1]))] if len(numbers) else numbers
