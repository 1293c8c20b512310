"""The words of pairs against the plain way: every text's words by itself."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.schema import MESSAGES
from filters import pair_words
from filters.pair_words import PLACES, SYSTEM, WordMeasure, measured
from filters.words import hashed

TEXT = st.none() | st.text("ab Ä中.\n", max_size=12)
TURN = st.fixed_dictionaries({"role": st.sampled_from(["system", "user", None]), "content": TEXT})
PAIRS = st.lists(st.tuples(st.none() | st.lists(TURN, max_size=3), TEXT, TEXT, TEXT), max_size=6)


def frame(rows):
    return pl.DataFrame(rows, schema={"prompt": MESSAGES, **dict.fromkeys(PLACES[1:], pl.String)}, orient="row")


def plainly(prompt, *replies):
    """[place, words] of a pair's texts."""
    turns = [(0 if turn["role"] == "user" else SYSTEM, turn["content"]) for turn in prompt or []]
    texts = [*turns, *enumerate(replies, 1)]
    return [(place, hashed(pl.Series([text], dtype=pl.String)).hashes.tolist()) for place, text in texts]


def read(some):
    """The same of `PairWords`, pair by pair, as a text."""
    ends = some.words.counts.cumsum()
    words = [some.words.hashes[end - count : end].tolist() for end, count in zip(ends, some.words.counts, strict=True)]
    texts = list(zip(some.pair.tolist(), some.place.tolist(), words, strict=True))
    assert len(some.texts) == len(texts)
    return pl.Series([str([(place, its) for owner, place, its in texts if owner == n]) for n in range(some.pairs)])


@given(st.sampled_from([1, 40, 1 << 20]), PAIRS)
def test_however_many_are_held_at_once_each_pair_has_its_words(at_once, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_words, "_AT_ONCE", at_once)
        found = frame(rows).select(measured({"it": WordMeasure(pl.String(), read)}).struct.unnest())["it"]
    assert found.to_list() == [str(plainly(*row)) for row in rows]
