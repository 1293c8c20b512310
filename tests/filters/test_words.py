import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.words import hashed, rolled, split_words

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


def test_runs_of_words():
    hashes = hashed(pl.Series(["a b c a b c", "a b"])).hashes
    twos = rolled(hashes, 2)
    assert len(twos) == 7
    assert twos[0] == twos[3] == twos[6] != twos[1]
    assert len(rolled(hashes, 9)) == 0
