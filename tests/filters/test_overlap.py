import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.benchmarks import Item
from filters.overlap import Overlap

LONG = " ".join(f"w{number}" for number in range(1, 21))
"""20 words: 8 runs of 13, 13 of 8, 14 of 7."""
TEN = "one two three four five six seven eight nine ten"
ITEMS = [
    Item("b:1", LONG),
    Item("b:2", TEN),
    Item("b:3", "What is the capital of France?"),
    Item("b:4", "Hello"),
    Item("b:5", "写一首关于秋天的诗歌给我的朋友们"),
    Item("b:6", "!?"),
]


def words(first, last):
    return " ".join(f"w{number}" for number in range(first, last + 1))


def hit(text, items=ITEMS, min_words=3):
    """(reason or "flag", item) of the hit, None where there is none."""
    found = list(Overlap(items, min_words).hits(pl.Series([text])))
    return (found[0][1].reason or "flag", found[0][1].item) if found else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LONG.upper() + "!", ("exact", "b:1")),
        ("so: " + words(4, 16) + " then", ("13_gram", "b:1")),
        (words(4, 15), ("flag", "b:1")),
        (words(1, 11) + " x " + words(10, 20), ("8_grams", "b:1")),
        (words(1, 10) + " x " + words(11, 20), ("flag", "b:1")),
        (words(1, 7), ("flag", "b:1")),
        (words(1, 6) + " x " + words(7, 12), None),
        (f"say {TEN} again", ("8_grams", "b:2")),
        ("one two three four five six seven eight nine", ("8_grams", "b:2")),
        ("one two three four five six seven eight x", ("flag", "b:2")),
        ("Tell me, what is the CAPITAL of France, please", ("whole", "b:3")),
        ("what is the capital of Spain and of France", None),
        ("hello", ("exact", "b:4")),
        ("Hello there", None),
        ("请写一首关于秋天的诗歌给我的朋友们。", ("13_gram", "b:5")),
        ("写一首关于春天的诗歌", None),
        ("!?", None),
        ("", None),
    ],
)
def test_rules(text, expected):
    """8-grams: words 1-11 and 10-20 hold 4 + 4 = 8 of 13, over half; 1-10 and 11-20 hold 3 + 3 = 6, which is not."""
    assert hit(text) == expected


def test_a_short_prompt_counts_in_other_texts_from_min_words_on():
    assert hit("well hello there", min_words=1) == ("whole", "b:4")
    assert hit("what is the capital of France now", min_words=7) is None
    assert hit("what is the capital of France", min_words=7) == ("exact", "b:3")


def test_the_plainest_hit_is_told_and_of_equals_the_first_item():
    assert hit(f"{words(1, 13)} what is the capital of France", ITEMS) == ("13_gram", "b:1")
    twins = [Item("b:9", TEN), Item("b:8", TEN)]
    assert hit(TEN, twins) == ("exact", "b:9")


def test_runs_do_not_cross_from_one_text_into_the_next():
    texts = pl.Series([words(1, 6), words(7, 20), ""])
    assert [position for position, _ in Overlap(ITEMS, 3).hits(texts)] == [1]
    assert list(Overlap([], 3).hits(texts)) == []
    assert list(Overlap(ITEMS, 3).hits(texts.head(0))) == []


def brute(text, item):
    """The same rules by plain comparison, for items of at least 13 words."""
    ours, theirs = text.split(), item.split()
    grams = {n: {tuple(ours[i : i + n]) for i in range(len(ours) - n + 1)} for n in (7, 8, 13)}
    runs = {n: {tuple(theirs[i : i + n]) for i in range(len(theirs) - n + 1)} for n in (7, 8, 13)}
    if ours == theirs:
        return "exact"
    if grams[13] & runs[13]:
        return "13_gram"
    if 2 * len(grams[8] & runs[8]) > len(runs[8]):
        return "8_grams"
    return "flag" if grams[7] & runs[7] else None


CHUNKS = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 14)), max_size=4)


@settings(deadline=None)
@given(CHUNKS)
def test_rules_are_those_of_plain_comparison(chunks):
    text = " x ".join(words(first, min(20, first + length)) for first, length in chunks)
    found = hit(text, ITEMS[:1])
    assert (found and found[0]) == brute(text, LONG)
