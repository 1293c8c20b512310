import re
import sys

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.text import INERT
from filters.words import _CHANGING, hashed, rolled, rolled_each, runs_at, split_words

TEXTS = st.lists(
    st.none()
    | st.text("ab9_ .-\nÄßé中の", max_size=40)
    | st.text(st.characters(codec="utf-8"), max_size=30)
    | st.integers(1, 70).map(lambda size: "x" * size + "y z"),
    max_size=8,
)


@settings(deadline=None)
@given(TEXTS)
def test_words_are_those_of_the_plain_way_and_their_hashes_as_different_as_they_are(texts):
    series = pl.Series(texts, dtype=pl.String)
    plain = split_words(series.fill_null(""))
    found = hashed(series)
    assert found.counts.tolist() == plain.list.len().to_list()
    words = [word for text in plain for word in text]
    assert len(found.hashes) == len(words)
    assert (
        len(set(zip(words, found.hashes.tolist(), strict=True))) == len(set(words)) == len(set(found.hashes.tolist()))
    )


def test_hashes_stay_the_same_from_day_to_day():
    """What is kept must not depend on the process, so that hashes may be compared with those of another run."""
    words = hashed(pl.Series(["A word, a longer_word: supercalifragilistic", "Süß"]))
    assert words.counts.tolist() == [6, 1]
    assert words.hashes[0] == words.hashes[2]
    assert [int(one) % 1000 for one in words.hashes] == [958, 99, 958, 295, 99, 758, 494]


def test_what_is_left_as_it_is_has_no_other_form():
    """Every character that is inert and that no pattern says changes is its own lower case."""
    chars = pl.Series([chr(code) for code in range(128, sys.maxunicode + 1) if re.match(f"[{INERT}]", chr(code))])
    same = chars.filter(~chars.str.contains(_CHANGING))
    assert len(same) > 30_000
    assert (same.str.to_lowercase() == same).all()
    assert set("Éß¿“") - set(same) == {"É"}


@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.integers(1, 15))
def test_runs_are_sums_of_powers(numbers, size):
    hashes = pl.Series(numbers, dtype=pl.UInt64).to_numpy()
    factor = 0x9E3779B97F4A7C15
    expected = [
        sum(number * factor ** (size - 1 - n) for n, number in enumerate(numbers[at : at + size])) % 2**64
        for at in range(len(numbers) - size + 1)
    ]
    assert rolled(hashes, size).tolist() == expected
    assert rolled_each(hashes, size, 4).tolist() == expected[::4]
    assert runs_at(hashes, pl.arange(0, len(expected), eager=True).to_numpy(), size).tolist() == expected


def test_equal_runs_of_words_have_equal_hashes():
    hashes = hashed(pl.Series(["a b c a b c", "a b"])).hashes
    twos = rolled(hashes, 2)
    assert len(twos) == 7
    assert twos[0] == twos[3] == twos[6] != twos[1]
    assert len(rolled(hashes, 9)) == 0
