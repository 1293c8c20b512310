"""The words of pairs, hashed once for all filters that look at words, a few pairs at a time."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.words import Ints, Words, in_bytes, words_of

PLACES = ("prompt", "chosen", "rejected", "original")
"""Where a text of a pair stands: in a turn of its prompt, or as a reply. They are columns of pairs."""
SYSTEM = len(PLACES)
"""The place of a turn in which nobody speaks: a system message, or one that does not say whose it is."""
_AT_ONCE = 1 << 20
"""Bytes of text whose words are held at once, for one pair at least: so few that they stay in a processor's cache."""


class PairWords(NamedTuple):
    """The words of some pairs: of each pair the turns of its prompt, then chosen, rejected and original."""

    words: Words
    pair: Ints
    """Of each text, the pair's number, from 0."""
    place: NDArray[np.uint8]
    """Of each text, the position in PLACES, or SYSTEM."""
    texts: pl.Series
    pairs: int


class WordMeasure(NamedTuple):
    """What a filter measures on the words of pairs."""

    dtype: pl.DataType
    of: Callable[[PairWords], pl.Series]
    """A value for each of the pairs."""


def measured(measures: Mapping[str, WordMeasure]) -> pl.Expr:
    """A struct of the measures of each row, from its columns PLACES."""

    def measure(pairs: pl.Series) -> pl.Series:
        frame = pairs.struct.unnest()
        found: dict[str, list[pl.Series]] = {name: [pl.Series(dtype=one.dtype)] for name, one in measures.items()}
        for some in pair_words(frame):
            for name, one in measures.items():
                found[name].append(one.of(some))
        return pl.DataFrame({name: pl.concat(parts) for name, parts in found.items()}).to_struct()

    dtype = pl.Struct({name: one.dtype for name, one in measures.items()})
    return pl.struct(PLACES).map_batches(measure, return_dtype=dtype, is_elementwise=True)


def pair_words(frame: pl.DataFrame) -> Iterator[PairWords]:
    """The words of all pairs of a frame with the columns PLACES, some pairs at a time."""
    texts, pair, place = _in_order(frame)
    spelled = in_bytes(texts)
    ends = np.searchsorted(pair, np.arange(frame.height), side="right")
    sizes = spelled.ends[ends - 1] if frame.height else ends
    first = 0
    while first < frame.height:
        done = sizes[first - 1] if first else 0
        # One pair at least, however long: a text is never cut.
        last = max(first + 1, int(np.searchsorted(sizes, done + _AT_ONCE)))
        start, end = int(ends[first - 1]) if first else 0, int(ends[last - 1])
        words = words_of(spelled, start, end)
        yield PairWords(words, pair[start:end] - first, place[start:end], texts[start:end], last - first)
        first = last


def _in_order(frame: pl.DataFrame) -> tuple[pl.Series, Ints, NDArray[np.uint8]]:
    """All texts of all pairs, pair by pair, each pair's in the order of PLACES; their pairs' numbers and places."""
    prompt, *replies = (frame[place] for place in PLACES)
    # An empty prompt is no row, so that rows are as many as turns and can be numbered by their prompts' lengths.
    turns = prompt.explode(empty_as_null=False, keep_nulls=False).struct.unnest()
    # So that a turn that does not say whose it is counts as one, too.
    system = ~(turns["role"] != "system").fill_null(False).to_numpy()
    rows = np.arange(frame.height)
    pair = np.concatenate([np.repeat(rows, prompt.list.len().fill_null(0).to_numpy()), *(rows for _ in replies)])
    place = np.concatenate([system * np.uint8(SYSTEM), np.repeat(np.arange(1, SYSTEM, dtype=np.uint8), len(rows))])
    # Stable: within a pair the turns and replies stay as they were put together.
    order = np.argsort(pair, kind="stable")
    texts = pl.concat([turns["content"], *replies]).gather(order)
    return texts, pair[order], place[order]
