"""Word n-grams shared with a set of benchmark prompts: a fast pass of hashes, then the exact rules on what it finds."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.benchmarks import Item
from filters.text import nfkc

REMOVE, SHARE, FLAG = 13, 8, 7
"""Words in a row: any one run removes; over half of the benchmark prompt's runs remove; any one run flags."""
REASONS = ("exact", "13_gram", "8_grams", "whole")
"""From the plainest on; a hit that is none of them is a flag."""

_WHOLE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
_WORD = rf"[{_WHOLE}]|[[\p{{L}}\p{{N}}\p{{M}}]--[{_WHOLE}]]+"
"""A word; in scripts that put no spaces between words, a character."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SIEVE_BITS = 22

Words = tuple[str, ...]
Hashes = NDArray[np.uint64]


class Hit(NamedTuple):
    """What a text shares with a benchmark prompt."""

    severity: int
    """Position in REASONS, or beyond them for a flag."""
    reason: str | None
    """null: only flagged."""
    item: str
    """Name of the benchmark prompt."""
    words: str
    """The words in question."""


def split_words(texts: pl.Series) -> pl.Series:
    """The words of each text, in NFKC and lower case."""
    return nfkc(texts).str.to_lowercase().str.extract_all(_WORD)


class Overlap:
    """An index of benchmark prompts that says what a text shares with them."""

    def __init__(self, items: Sequence[Item], min_words: int) -> None:
        """`min_words`: shorter prompts count only where they are the whole of a text."""
        self._names = [item.name for item in items]
        self._items = [tuple(words) for words in split_words(pl.Series([item.text for item in items], dtype=pl.String))]
        self._min_words = min_words
        self._by_gram: defaultdict[Words, list[int]] = defaultdict(list)
        for number, words in enumerate(self._items):
            length = min(FLAG, len(words))
            for gram in dict.fromkeys(_grams(words, length)) if words else ():
                self._by_gram[gram].append(number)
        self._known = {size: self._hashes(size) for size in sorted({len(gram) for gram in self._by_gram})}
        self._sieve = np.zeros(1 << _SIEVE_BITS, dtype=bool)
        for known in self._known.values():
            self._sieve[_slot(known)] = True

    def _hashes(self, size: int) -> Hashes:
        """The sorted hashes of the grams of `size` words."""
        grams = [gram for gram in self._by_gram if len(gram) == size]
        words = pl.Series([word for gram in grams for word in gram], dtype=pl.String)
        return np.unique(_rolled(words.hash().to_numpy(), size)[::size])

    def hits(self, texts: pl.Series) -> Iterator[tuple[int, Hit]]:
        """The worst hit of each text that has one, with the text's position; `texts` holds no null."""
        words = split_words(texts)
        for position in self._candidates(words):
            hit = self._hit(tuple(words[position]))
            if hit is not None:
                yield position, hit

    def _candidates(self, words: pl.Series) -> list[int]:
        """Positions of texts that may share a gram: few that do not, and all that do."""
        counts = words.list.len().cast(pl.Int64).to_numpy()
        hashes = words.explode(empty_as_null=False).hash().to_numpy()
        ends = np.cumsum(counts)
        found: list[NDArray[np.int64]] = []
        for size, known in self._known.items():
            rolled = _rolled(hashes, size)
            starts = np.flatnonzero(self._sieve[_slot(rolled)])
            starts = starts[known.take(np.searchsorted(known, rolled[starts]), mode="clip") == rolled[starts]]
            texts = np.searchsorted(ends, starts, side="right")
            inside = starts + size <= ends[texts]
            whole = (size >= self._min_words) | (counts[texts] == size)
            found.append(texts[inside & whole])
        return [int(position) for position in np.unique(np.concatenate(found))] if found else []

    def _hit(self, words: Words) -> Hit | None:
        """The plainest of a text's hits, and of those the one with the benchmark prompt that comes first."""
        numbers = {n for size in self._known for gram in _grams(words, size) for n in self._by_gram.get(gram, ())}
        found = [hit for number in sorted(numbers) if (hit := self._compare(words, number)) is not None]
        return min(found, key=lambda hit: hit.severity, default=None)

    def _compare(self, words: Words, number: int) -> Hit | None:
        item = self._items[number]
        reason, shared = _reason(words, item, self._min_words)
        if not shared:
            return None
        severity = REASONS.index(reason) if reason else len(REASONS)
        return Hit(severity, reason, self._names[number], " ".join(shared))


def _reason(words: Words, item: Words, min_words: int) -> tuple[str | None, Words]:
    """The rule that removes a text for what it shares with an item, and the words; no words: nothing is shared."""
    if words == item:
        return "exact", item[:REMOVE]
    shared = _shared(words, item, REMOVE)
    if shared:
        return "13_gram", shared[0]
    if len(item) < min_words:
        return None, ()
    eights = _shared(words, item, SHARE)
    if 2 * len(eights) > len(set(_grams(item, SHARE))):
        return "8_grams", eights[0]
    if len(item) < REMOVE and _shared(words, item, len(item)):
        return "whole", item
    sevens = _shared(words, item, FLAG)
    return None, sevens[0] if sevens else ()


def _shared(words: Words, item: Words, size: int) -> list[Words]:
    """The item's different grams that the text holds too, in the item's order."""
    held = set(_grams(words, size))
    return [gram for gram in dict.fromkeys(_grams(item, size)) if gram in held]


def _grams(words: Words, size: int) -> list[Words]:
    return [words[start : start + size] for start in range(len(words) - size + 1)]


def _rolled(hashes: Hashes, size: int) -> Hashes:
    """A hash of each run of `size` neighbouring words, from the words' own; products wrap."""
    count = len(hashes) - size + 1
    rolled = np.zeros(max(count, 0), dtype=np.uint64)
    for offset in range(size if count > 0 else 0):
        rolled = rolled * _FACTOR + hashes[offset : offset + count]
    return rolled


def _slot(hashes: Hashes) -> NDArray[np.int64]:
    """Place in the sieve."""
    mixed = (hashes ^ (hashes >> np.uint64(32))) * _FACTOR
    return (mixed >> np.uint64(64 - _SIEVE_BITS)).astype(np.int64)
