import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import overlap
from filters.benchmarks import BenchmarkPrompt
from filters.overlap import Overlap
from filters.words import hashed
from tests.filters.plain_overlap import plain_hits

LONG = " ".join(f"w{number}" for number in range(1, 21))
"""20 words: 8 runs of 13, 13 of 8, 14 of 7."""
TEN = "one two three four five six seven eight nine ten"
ITEMS = [
    BenchmarkPrompt("b:1", LONG),
    BenchmarkPrompt("b:2", TEN),
    BenchmarkPrompt("b:3", "What is the capital of France?"),
    BenchmarkPrompt("b:4", "Hello"),
    BenchmarkPrompt("b:5", "写一首关于秋天的诗歌给我的朋友们"),
    BenchmarkPrompt("b:6", "!?"),
]


def words(first, last):
    return " ".join(f"w{number}" for number in range(first, last + 1))


def hits_of(texts, items, min_words):
    return Overlap(items, min_words).hits(texts, hashed(texts))


def hit(text, items=ITEMS, min_words=3):
    """(reason or "flag", item) of the hit, None where there is none."""
    found = list(hits_of(pl.Series([text]), items, min_words))
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
def test_each_rule_of_overlap_finds_its_text_and_no_other(text, expected):
    """8-grams: words 1-11 and 10-20 hold 4 + 4 = 8 of 13, over half; 1-10 and 11-20 hold 3 + 3 = 6, which is not."""
    assert hit(text) == expected


def test_a_short_prompt_counts_in_other_texts_from_min_words_on():
    assert hit("well hello there", min_words=1) == ("whole", "b:4")
    assert hit("what is the capital of France now", min_words=7) is None
    assert hit("what is the capital of France", min_words=7) == ("exact", "b:3")


def test_the_plainest_hit_is_told_and_of_equals_the_first_item():
    assert hit(f"{words(1, 13)} what is the capital of France", ITEMS) == ("13_gram", "b:1")
    twins = [BenchmarkPrompt("b:9", TEN), BenchmarkPrompt("b:8", TEN)]
    assert hit(TEN, twins) == ("exact", "b:9")


def test_runs_do_not_cross_from_one_text_into_the_next():
    texts = pl.Series([words(1, 6), words(7, 20), ""])
    assert [position for position, _ in hits_of(texts, ITEMS, 3)] == [1]
    assert list(hits_of(texts, [], 3)) == []
    assert list(hits_of(texts.head(0), ITEMS, 3)) == []


PIECES = st.sampled_from([words(1, 7), words(3, 12), words(9, 20), words(14, 15), "x", "y z", "Ä 中", TEN, "don't", ""])
PROSE = st.lists(PIECES, max_size=4).map(" ".join)


@settings(max_examples=150)
@given(st.lists(PROSE, max_size=8), st.lists(PROSE, max_size=6), st.integers(1, 15))
def test_decisions_are_those_of_comparing_every_text_with_every_prompt(prompts, texts, min_words):
    items = [BenchmarkPrompt(f"b:{number}", text) for number, text in enumerate(prompts)]
    series = pl.Series(texts, dtype=pl.String)
    assert list(hits_of(series, items, min_words)) == list(plain_hits(series, items, min_words))


@settings(max_examples=40)
@given(st.integers(2, 60), st.integers(0, 10**6))
def test_an_instruction_that_many_prompts_share_changes_no_decision(count, seed):
    """Prompts of a shared instruction and words of their own; texts hold parts of both."""
    rng = random.Random(seed)
    shared = [f"i{number}" for number in range(rng.choice([7, 8, 20]))]
    own = [[f"q{rng.randrange(40)}" for _ in range(rng.randrange(1, 16))] for _ in range(count)]
    items = [BenchmarkPrompt(f"b:{number}", " ".join(shared + words)) for number, words in enumerate(own)]
    parts = [shared, shared[:9], *own]
    texts = pl.Series([" ".join([*rng.choice(parts), *rng.choice(parts)]) for _ in range(12)])
    assert list(hits_of(texts, items, 3)) == list(plain_hits(texts, items, 3))


def test_what_prompts_share_is_compared_with_one_of_them(monkeypatch):
    """A text that holds an instruction of 2,000 prompts is compared word by word with few of them."""
    shared = words(1, 7)
    items = [
        BenchmarkPrompt(f"b:{number}", f"{shared} {' '.join(f'q{number}x{n}' for n in range(12))}")
        for number in range(2000)
    ]
    compared = []
    original = overlap._shared
    monkeypatch.setattr(overlap, "_shared", lambda *one: compared.append(one) or original(*one))
    texts = pl.Series([f"{shared} something else {number}" for number in range(50)])
    found = list(hits_of(texts, items, 3))
    assert [hit.item for _, hit in found] == ["b:0"] * 50
    assert len(compared) <= 3 * 50
