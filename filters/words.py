"""Words as numbers: the hash of every word of many texts at once, and of runs of neighbouring words.

A word is what `split_words` says, lower case in NFKC. In ASCII, which most text is, words are found in the bytes, all
texts in one array; in other texts what beyond ASCII is in no word becomes spaces first. Hashes are the same on every
machine and day.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.text import nfkc, where

_WHOLE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
_WORD = rf"[{_WHOLE}]|[[\p{{L}}\p{{N}}\p{{M}}]--[{_WHOLE}]]+"
"""A word; in scripts that put no spaces between words, a character."""
_BETWEEN = rf"[^\x00-\x7f\p{{L}}\p{{N}}\p{{M}}{_WHOLE}]+"
"""What beyond ASCII is in no word."""
_LETTERS = bytes(
    ord(chr(byte).lower()) if byte < 128 and chr(byte).isalnum() else byte & 128 and byte for byte in range(256)
)
"""What each byte is in a word: ASCII letters in lower case, digits and all beyond ASCII as they are; others 0."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_BATCH = 1000
"""Texts whose bytes are held at once."""
_STEP = 8
"""Bytes of a word that are taken at a time."""
_FIRST = np.array([0, *((1 << 8 * size) - 1 for size in range(1, _STEP + 1))], dtype=np.uint64)
"""Masks that leave so many bytes of eight."""

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]


class Words(NamedTuple):
    """The words of texts, one text after another."""

    hashes: Hashes
    counts: Ints
    """Words of each text."""


def split_words(texts: pl.Series) -> pl.Series:
    """The words of each text, in NFKC and lower case."""
    return nfkc(texts).str.to_lowercase().str.extract_all(_WORD)


def _spaced(texts: pl.Series) -> pl.Series:
    """Texts with the same words, of which all bytes beyond ASCII are in words, and words are apart."""
    spaced = nfkc(texts).str.to_lowercase().str.replace_all(_BETWEEN, " ")
    return where(spaced, spaced.str.contains(f"[{_WHOLE}]"), lambda some: some.str.replace_all(f"[{_WHOLE}]", " $0 "))


def word_lists(text: pl.Expr) -> pl.Expr:
    """The hashes of each text's words, as a list."""
    return text.map_batches(_lists, return_dtype=pl.List(pl.UInt64), is_elementwise=True)


def words_of(reply: str) -> dict[str, pl.Expr]:
    """`word_lists` of a reply, as filters share it."""
    return {f"words.{reply}": word_lists(pl.col(reply))}


def _lists(texts: pl.Series) -> pl.Series:
    import pyarrow

    parts = [hashed(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)]
    hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *(part.hashes for part in parts)])
    counts = np.concatenate([np.zeros(1, dtype=np.int64), *(part.counts for part in parts)])
    return pl.Series(pyarrow.LargeListArray.from_arrays(np.cumsum(counts), hashes))


def flat(lists: pl.Series) -> Words:
    """The words in `word_lists`."""
    return Words(lists.explode(empty_as_null=False).to_numpy(), lists.list.len().cast(pl.Int64).to_numpy())


def hashed(texts: pl.Series) -> Words:
    """The hash of each word of each text; a null has no words."""
    plain = texts.fill_null("")
    wide = (plain.str.len_bytes() != plain.str.len_chars()).arg_true()
    if len(wide):
        plain = plain.clone().scatter(wide, _spaced(plain.gather(wide)))
    sizes = plain.str.len_bytes().cast(pl.Int64).to_numpy() + 1
    whole: bytes = plain.str.join("\n").cast(pl.Binary).item() or b""
    letters = np.frombuffer((b"\n" + whole + b"\n" * _STEP).translate(_LETTERS), dtype=np.uint8)
    inside = letters != 0
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    borders = np.searchsorted(starts, np.concatenate(([0], np.cumsum(sizes))))
    return Words(_hash(letters, starts, ends - starts), np.diff(borders))


def _hash(letters: NDArray[np.uint8], starts: Ints, sizes: Ints) -> Hashes:
    """The hash of the bytes at each start, eight at a time; of up to eight bytes it is one to one."""
    eights: Hashes = np.ndarray((len(letters) - _STEP + 1,), "<u8", letters, strides=(1,))
    hashes = _mixed(eights[starts] & _FIRST[np.minimum(sizes, _STEP)])
    longer, done = np.flatnonzero(sizes > _STEP), _STEP
    while len(longer):
        more = eights[starts[longer] + done] & _FIRST[np.minimum(sizes[longer] - done, _STEP)]
        hashes[longer] = _mixed(hashes[longer] * _FACTOR + more)
        done += _STEP
        longer = longer[sizes[longer] > done]
    return hashes


def _mixed(hashes: Hashes) -> Hashes:
    """Every bit in every other; one to one."""
    hashes = (hashes ^ (hashes >> np.uint64(32))) * _FACTOR
    hashes = (hashes ^ (hashes >> np.uint64(29))) * _FACTOR
    return hashes ^ (hashes >> np.uint64(32))


def rolled(hashes: Hashes, size: int) -> Hashes:
    """A hash of each run of `size` neighbouring words; runs may cross from one text into the next. Products wrap."""
    return extended(hashes, hashes, 1, size)


def extended(runs: Hashes, hashes: Hashes, done: int, size: int) -> Hashes:
    """`rolled` for `size` words from the `runs` of `done` of them."""
    longer = runs[: max(len(hashes) - size + 1, 0)].copy()
    for offset in range(done, size):
        longer *= _FACTOR
        longer += hashes[offset : offset + len(longer)]
    return longer


def whole(words: Words) -> Hashes:
    """A hash of all words of each text, in their order."""
    starts = np.cumsum(words.counts) - words.counts
    places = np.arange(len(words.hashes)) - np.repeat(starts, words.counts)
    powers = np.cumprod(np.full(max(words.counts, default=0), _FACTOR))
    sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(words.hashes * powers[places])))
    return _mixed(sums[starts + words.counts] - sums[starts] + words.counts.astype(np.uint64))


def distinct(numbers: Hashes) -> Hashes:
    """The different numbers, sorted; sorts in place. `np.unique` counts by a hash table, which is slower by far."""
    numbers.sort()
    return numbers[np.concatenate(([True], numbers[1:] != numbers[:-1]))] if len(numbers) else numbers
