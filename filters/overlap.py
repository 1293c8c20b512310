"""Word n-grams shared with benchmark prompts, in time of texts and prompts together, whatever they have in common.

The prompts' n-grams lie in sorted arrays of hashes. A fast pass finds the texts that share any; only these are compared
word by word, with the one prompt that each rule asks for: the first that has the n-gram in question.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.benchmarks import BenchmarkPrompt
from filters.words import Hashes, Ints, Words, distinct, hashed, rolled, rolled_each, runs_at, split_words, whole

REMOVE, SHARE, FLAG = 13, 8, 7
"""Words in a row: any one run removes; over half of the benchmark prompt's runs remove; any one run flags."""
REASONS = ("exact", "13_gram", "8_grams", "whole")
"""From the plainest on; a hit that is none of them is a flag."""
_BATCH = 10_000
"""Benchmark prompts whose words are held at once."""
_SIEVE = 32
"""Bits of a sieve for each hash in it."""
_GATE, _OPENING_SIEVE = 4, 256
"""Words of a run that are looked up first, as FLAG words can only be a prompt's where these are. Bits for each opening
of a short prompt, which is looked up at every word."""

_FACTORS = (np.uint64(1), np.uint64(0xBF58476D1CE4E5B9))

Text = tuple[str, ...]


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


class Sieve:
    """Hashes of which it can be told fast that they are not among some others, and of a few it cannot."""

    def __init__(self, hashes: Hashes, size: int, looks: int) -> None:
        """`size`: bits for each hash. `looks`: how many of them each hash sets and is told by."""
        # A power of two, so that the upper bits of a hash are the place, by a shift; and bytes enough for few hashes.
        bits = max(13, (size * len(hashes)).bit_length() - 1)
        self._shift, self._factors = np.uint64(64 - bits), _FACTORS[:looks]
        self._bits = np.zeros(1 << (bits - 3), dtype=np.uint8)
        for factor in self._factors:
            slots = hashes * factor >> self._shift
            np.bitwise_or.at(
                self._bits, (slots >> np.uint64(3)).view(np.int64), np.uint8(1) << slots.astype(np.uint8) % 8
            )

    def held(self, hashes: Hashes) -> Ints:
        """Positions of all hashes that are among the others, and of a few that are not."""
        maybe = np.flatnonzero(self._set(hashes))
        for factor in self._factors[1:]:
            maybe = maybe[self._set(hashes[maybe] * factor)]
        return maybe

    def _set(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Whether each hash's bit is set."""
        slots = hashes >> self._shift
        bits = self._bits[(slots >> np.uint64(3)).view(np.int64)] >> (slots.astype(np.uint8) & np.uint8(7))
        return np.asarray((bits & np.uint8(1)).view(np.bool_))


class Grams:
    """Hashes with the benchmark prompts that they are from: a sorted number each, the hash above, the prompt below."""

    def __init__(self, keys: Hashes, below: int, *, first: bool = True) -> None:
        """`below`: bits of a key that are the prompt. `first`: of prompts with the same hash only the first is kept."""
        keys.sort()
        self._below = np.uint64(below)
        if first and len(keys):
            hashes = keys >> self._below
            # The lowest number comes first among equal hashes, since keys are sorted with it below them.
            keys = keys[np.concatenate(([True], hashes[1:] != hashes[:-1]))]
        self._keys = keys
        self._sieve = Sieve(keys >> self._below << self._below, _SIEVE, 2)

    def held(self, hashes: Hashes) -> Ints:
        """Positions of those hashes that are among these."""
        hashes = hashes >> self._below << self._below
        maybe = self._sieve.held(hashes)
        wanted = hashes[maybe] >> self._below
        places = np.searchsorted(self._keys, wanted << self._below)
        there = places < len(self._keys)
        # A search gives the next key where there is none: only one with the same hash above is it.
        there[there] = self._keys[places[there]] >> self._below == wanted[there]
        return np.asarray(maybe[there])

    def items(self, hashes: Hashes) -> list[int]:
        """The prompts with any of these hashes, in order."""
        low, high = self._places(np.unique(hashes[self.held(hashes)]))
        found = [self._keys[start:end] for start, end in zip(low, high, strict=True)]
        mask = (np.uint64(1) << self._below) - np.uint64(1)
        return [int(number) for number in np.unique(np.concatenate(found) & mask)] if found else []

    def _places(self, hashes: Hashes) -> tuple[Ints, Ints]:
        """Where the keys of each hash begin and end."""
        least = hashes >> self._below << self._below
        most = least | ((np.uint64(1) << self._below) - np.uint64(1))
        return np.searchsorted(self._keys, least), np.searchsorted(self._keys, most, side="right")


class Overlap:
    """An index of benchmark prompts that says what a text shares with them."""

    def __init__(self, items: Sequence[BenchmarkPrompt], min_words: int) -> None:
        """`min_words`: shorter prompts count only where they are the whole of a text."""
        self._names = [item.name for item in items]
        self._texts = pl.Series([item.text for item in items], dtype=pl.String)
        # Words of a prompt are split when a text hits it: of millions of prompts few are ever hit, and often the same.
        self._split = lru_cache(1000)(lambda number: tuple(split_words(self._texts[number : number + 1])[0]))
        below = max(len(items).bit_length(), 1)
        parts = [_keys(self._texts, at, min_words, below) for at in range(0, max(len(items), 1), _BATCH)]

        def all_of(kind: str | int) -> Hashes:
            return np.concatenate([part.pop(kind, np.zeros(0, dtype=np.uint64)) for part in parts])

        self._exact = Grams(all_of("exact"), below)
        self._removing = Grams(all_of("removing"), below)
        self._flagging = Grams(all_of("flagging"), below)
        self._any_seven = self._flagging if min_words <= FLAG else Grams(all_of("any seven"), below)
        self._sharing = Grams(_rarer_half(all_of("sharing"), below), below, first=False)
        # From SHARE words on, a prompt that stands in a text as a whole shares all its 8-grams with it.
        short = {size: all_of(size) for size in range(min_words, SHARE)}
        self._short = {size: Grams(keys, below) for size, keys in short.items() if len(keys)}
        self._gate = Sieve(all_of("gate"), _SIEVE, 1)
        self._openings, self._min_words = Sieve(all_of("openings"), _OPENING_SIEVE, 1), min_words

    def hits(self, texts: pl.Series, words: Words) -> Iterator[tuple[int, Hit]]:
        """The worst hit of each text that has one, with the text's position; `words` are those of `texts`."""
        ends = np.cumsum(words.counts)
        candidates = self._candidates(words, ends)
        if not candidates:
            return
        for position, said in zip(candidates, split_words(texts.gather(candidates)), strict=True):
            hashes = words.hashes[ends[position] - words.counts[position] : ends[position]]
            # Lazily: a plainer hit makes the search for the others needless.
            hit = next(self._found(tuple(said), hashes), None)
            if hit is not None:
                yield position, hit

    def _candidates(self, words: Words, ends: Ints) -> list[int]:
        """Positions of texts that may share something with a prompt: few that do not, and all that do."""
        brief = np.flatnonzero((words.counts > 0) & (words.counts < FLAG))
        found = [brief[self._exact.held(whole(_some(words, brief)))]]
        for size, grams, starts in self._starts(words.hashes):
            starts = starts[starts + size <= len(words.hashes)]
            held = starts[grams.held(runs_at(words.hashes, starts, size))]
            # Runs are looked up over all texts at once; those that reach into the next text are none.
            text = np.searchsorted(ends, held, side="right")
            found.append(text[held + size <= ends[text]])
        return [int(position) for position in np.unique(np.concatenate(found))]

    def _starts(self, hashes: Hashes) -> Iterator[tuple[int, Grams, Ints]]:
        """Where runs of words may begin that remove or flag a text whatever else it holds, by their size."""
        if self._short:
            openings = self._openings.held(rolled(hashes, self._min_words))
            yield from ((size, grams, openings) for size, grams in self._short.items() if size < FLAG)
        # Each run of seven words holds one of every four runs of four.
        every = FLAG - _GATE + 1
        fours = rolled_each(hashes, _GATE, every)
        sevens = (self._gate.held(fours)[:, None] * every - np.arange(every)).ravel()
        yield FLAG, self._any_seven, sevens[sevens >= 0]

    def _found(self, words: Text, hashes: Hashes) -> Iterator[Hit]:
        """A text's hits, the plainest first, and of those of a kind the one with the prompt that comes first."""
        for number in self._exact.items(whole(Words(hashes, np.array([len(hashes)])))):
            # Two texts may share a hash by chance: the words decide.
            if words == self._split(number):
                yield self._hit(0, number, words[:REMOVE])
        for number in self._removing.items(rolled(hashes, REMOVE))[:1]:
            yield from (self._hit(1, number, gram) for gram in _shared(words, self._split(number), REMOVE)[:1])
        for number in self._sharing.items(rolled(hashes, SHARE)):
            item = self._split(number)
            eights = _shared(words, item, SHARE)
            if 2 * len(eights) > len(set(_grams(item, SHARE))):
                yield self._hit(2, number, eights[0])
        contained = [number for size, grams in self._short.items() for number in grams.items(rolled(hashes, size))]
        for number in sorted(contained):
            yield self._hit(3, number, self._split(number))
        for number in self._flagging.items(rolled(hashes, FLAG))[:1]:
            yield from (self._hit(4, number, gram) for gram in _shared(words, self._split(number), FLAG)[:1])

    def _hit(self, severity: int, number: int, words: Text) -> Hit:
        reason = REASONS[severity] if severity < len(REASONS) else None
        return Hit(severity, reason, self._names[number], " ".join(words))


def _some(words: Words, which: Ints) -> Words:
    """The words of some of the texts."""
    wanted = np.zeros(len(words.counts), dtype=bool)
    wanted[which] = True
    return Words(words.hashes[np.repeat(wanted, words.counts)], words.counts[which])


def _keys(texts: pl.Series, start: int, min_words: int, below: int) -> dict[str | int, Hashes]:
    """The keys of a batch of benchmark prompts, by what they are for."""
    words = hashed(texts[start : start + _BATCH])
    numbers = np.arange(start, start + len(words.counts), dtype=np.uint64)
    owner, long = np.repeat(numbers, words.counts), words.counts >= min_words

    def keys(size: int, which: NDArray[np.bool_]) -> Hashes:
        """Of each run of `size` words within some of the prompts."""
        runs = rolled(words.hashes, size)
        here = (owner[: len(runs)] == owner[size - 1 :][: len(runs)]) & np.repeat(which, words.counts)[: len(runs)]
        return np.asarray(runs[here] >> np.uint64(below) << np.uint64(below) | owner[: len(runs)][here])

    every = np.ones_like(long)
    there = words.counts > 0
    found: dict[str | int, Hashes] = {size: keys(size, words.counts == size) for size in range(min_words, SHARE)}
    found["exact"] = whole(words)[there] >> np.uint64(below) << np.uint64(below) | numbers[there]
    found["gate"] = rolled(words.hashes, _GATE)  # with runs across prompts, which do no harm
    short = there & long & (words.counts < FLAG)
    found["openings"] = runs_at(words.hashes, (np.cumsum(words.counts) - words.counts)[short], min_words)
    found |= {"removing": keys(REMOVE, every), "flagging": keys(FLAG, long), "sharing": keys(SHARE, long)}
    if min_words > FLAG:
        found["any seven"] = keys(FLAG, every)
    return found


def _rarer_half(keys: Hashes, below: int) -> Hashes:
    """Of each prompt's different hashes the half, rounded up, that fewest prompts have.

    Who shares more than half of a prompt's shares one of these; what many prompts have in common is not among them
    unless it is most of a prompt.
    """
    keys = distinct(keys)
    hashes = keys >> np.uint64(below)
    new = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1]))) if len(keys) else np.zeros(0, np.int64)
    sizes = np.diff(new, append=len(keys))
    items = (keys & np.uint64((1 << below) - 1)).astype(np.uint32)
    # By prompt, then by how many have the hash; equally rare ones in the order of their hashes.
    order = np.lexsort((np.repeat(sizes, sizes).astype(np.uint32), items))
    counts = np.bincount(items)
    place = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(keys[order[place < np.repeat((counts + 1) // 2, counts)]])


def _shared(words: Text, item: Text, size: int) -> list[Text]:
    """The item's different grams that the text holds too, in the item's order."""
    held = set(_grams(words, size))
    return [gram for gram in dict.fromkeys(_grams(item, size)) if gram in held]


def _grams(words: Text, size: int) -> list[Text]:
    return [words[start : start + size] for start in range(len(words) - size + 1)]
