"""Portions and limits by content, and prompts too long for the context."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.config.prompts import Prompts
from factory.errors import InputError
from factory.identity import draw, prompt_id
from factory.readers import read_prompts
from factory.schema import PROMPTS, REJECTED, Split, check
from factory.stages.prompts import prompts, within_context

ANY = Prompts(paths=["x"])


def split_of(*texts, **columns):
    return read_prompts(pl.DataFrame({"prompt": list(texts), **columns}))


def some(count):
    return split_of(*(f"question {n}" for n in range(count)))


def test_portions_are_seeded_hashes_of_the_prompt():
    made = prompts(some(300), ANY, 7, 3).kept
    check(made, PROMPTS)
    wanted = {
        key: 1 + draw(7, "portion", key) % 3
        for key in (prompt_id([{"role": "user", "content": f"question {n}"}]) for n in range(300))
    }
    assert dict(made.select("prompt_id", "portion").rows()) == wanted
    assert all(70 < count < 130 for count in made["portion"].value_counts()["count"])
    assert set(prompts(some(50), ANY, 7, 1).kept["portion"]) == {1}


@settings(deadline=None)
@given(st.permutations(range(8)), st.integers(0, 3), st.integers(1, 4))
def test_neither_order_nor_other_prompts_move_a_prompt(order, extra, iterations):
    base = dict(prompts(some(8), ANY, 1, iterations).kept.select("prompt_id", "portion").rows())
    texts = [f"question {n}" for n in order] + [f"new {n}" for n in range(extra)]
    moved = dict(prompts(split_of(*texts), ANY, 1, iterations).kept.select("prompt_id", "portion").rows())
    assert {key: moved[key] for key in base} == base


def test_another_seed_moves_them():
    one, two = (prompts(some(40), ANY, seed, 3).kept["portion"].to_list() for seed in (1, 2))
    assert one != two


def test_the_limit_takes_the_lowest_hashes_and_sets_the_rest_aside():
    found = some(20)
    made = prompts(found, Prompts(paths=["x"], limit=5), 3, 2)
    ranked = sorted(found.kept["prompt_id"], key=lambda key: draw(3, "limit", key))
    assert set(made.kept["prompt_id"]) == set(ranked[:5])
    assert set(made.rejected["prompt_id"]) == set(ranked[5:])
    assert set(made.rejected.select("filter", "reason", "detail").rows()) == {
        ("prompts", "over_limit", "the limit is 5 prompts")
    }
    larger = prompts(some(30), Prompts(paths=["x"], limit=30), 3, 2)
    assert (larger.kept.height, larger.rejected.height) == (30, 0)


def test_a_prompt_within_a_limit_stays_when_the_limit_grows():
    sets = [set(prompts(some(30), Prompts(paths=["x"], limit=n), 3, 2).kept["prompt_id"]) for n in (5, 10, 29)]
    assert sets[0] < sets[1] < sets[2]


def test_what_the_reader_rejected_stays_rejected():
    found = split_of("Hi", "", "Hi", "Why?", mark=[1, 2, 3, 4])
    made = prompts(found, Prompts(paths=["x"], limit=1), 3, 2)
    assert made.kept.height + made.rejected.height == 4
    assert sorted(made.rejected["reason"]) == ["duplicate_prompt", "empty_prompt", "over_limit"]
    assert "mark" in made.kept.columns


def test_no_prompt_left_is_an_error_with_the_reasons():
    with pytest.raises(InputError, match=r"no prompt can be used \(2 empty_prompt\)"):
        prompts(split_of("", " "), ANY, 1, 3)
    empty = Split(some(1).kept.clear(), some(1).rejected)
    with pytest.raises(InputError, match="the files are empty"):
        prompts(empty, ANY, 1, 3)


class Words:
    """A generator that counts a token per word, two more per turn, and remembers what it counted."""

    identity = "words"

    def __init__(self, context_length):
        self.context_length = context_length
        self.counted = []

    def count_tokens(self, conversations):
        self.counted += conversations
        return [sum(len(turn["content"].split()) + 2 for turn in turns) for turns in conversations]

    def generate(self, requests):
        raise AssertionError("nothing is generated")


def lengths(*words):
    return prompts(split_of(*(" ".join(["word"] * n + [f"end{n}"]) for n in words)), ANY, 1, 1).kept


@pytest.mark.parametrize(
    ("context", "room", "extra", "longest"),
    [
        (400, 1000, 0, 350),  # an eighth of the context, 50, is left
        (400, 1000, 100, 250),
        (400, 20, 0, 380),  # a reply takes 20 at most
        (64, 1000, 0, 48),  # never less than 16
        (64, 8, 0, 56),
    ],
)
def test_a_prompt_must_leave_a_reply_room(context, room, extra, longest):
    """A prompt of n words and its end is n + 3 tokens: the longest that fits is n = longest - 3."""
    made = within_context(lengths(longest - 3, longest - 2, 1), Words(context), room, extra)
    assert sorted(row[0]["content"].count("word") for row in made.kept["prompt"]) == sorted([1, longest - 3])
    (bad,) = made.rejected.to_dicts()
    assert (bad["filter"], bad["reason"], bad["portion"]) == ("prompts", "too_long", 1)
    assert bad["detail"].startswith(
        f"the prompt has {longest + 1} tokens, system messages up to {extra}, a reply needs "
    )
    assert bad["detail"].endswith(f"the context is {context}")
    check(made.kept, PROMPTS)


def test_an_unknown_context_keeps_every_prompt():
    table = lengths(5, 5000)
    made = within_context(table, Words(None), 10, 10)
    assert made.kept.equals(table)
    check(made.rejected, REJECTED)
    assert made.rejected.height == 0
    assert within_context(table.clear(), Words(10), 10, 10).kept.height == 0


def test_a_text_of_megabytes_is_not_even_counted():
    engine = Words(100)
    made = within_context(lengths(3, 20_000), engine, 10, 0)
    assert [len(turns[0]["content"]) < 100 for turns in engine.counted] == [True]
    assert made.kept.height == 1
    assert made.rejected["detail"][0].startswith("the prompt has 101 or more tokens")
