"""Leaks and labels: what is found, what is left alone, and that `re` and polars agree."""

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from principles.leaks import find_leak, leak_pattern, may_leak_pattern, strip_label

PAIR = ("Engaging", "Dull")
LEAKS = [
    "As a dull answer, this will have to do.",
    "As an engaging AI assistant I must say hello.",
    "Sure. Here is a deliberately dull reply to that.",
    "Here\u2019s an engaging response: once upon a time",
    "First the facts.\n\n**Engaging response:** Hello.",
    "Dull answer\nIt is blue.",
    "- Dull answer - it is blue",
    "I was told to be dull, so it is blue.",
    "You asked me to write in an engaging way.",
    "This follows the principle of being dull.",
]
INNOCENT = [
    "",
    "The engaging answer of the minister was in all papers.",
    "A dull knife is a dangerous knife.",
    "Teachers who are engaging are remembered.",
    "Use an engaging tone and avoid dull phrases.",
    "As the dull weather went on, we answered letters.",
    "The answer: dull.",
    "Here is a helpful response: it is blue.",
]


@pytest.mark.parametrize("text", LEAKS)
def test_leaks_are_found(text):
    assert re.search(leak_pattern(PAIR), text)


@pytest.mark.parametrize("text", INNOCENT)
def test_other_uses_of_the_words_are_left_alone(text):
    assert not re.search(leak_pattern(PAIR), text)


@pytest.mark.parametrize(
    ("pair", "finds"),
    [(PAIR, len(LEAKS)), (("Well-made", "So so"), 2), (("R&D/x", "a.b"), 1), (("a(", "[b"), 0), ((), 0)],
)
def test_polars_finds_what_re_finds(pair, finds):
    texts = [*LEAKS, *INNOCENT, "As a well-made answer", "As a so so reply", "As a R&D/x answer", "As an axb answer"]
    pattern = leak_pattern(pair)
    by_polars = pl.Series(texts).str.contains(pattern).to_list()
    assert by_polars == [re.search(pattern, text) is not None for text in texts]
    assert sum(by_polars) == finds


@pytest.mark.parametrize("text", [*LEAKS, *INNOCENT])
def test_the_words_found_are_those_of_the_pattern(text):
    found = re.search(leak_pattern(PAIR), text)
    assert find_leak(text, PAIR) == (found[0].strip() if found else None)


@given(st.from_regex(leak_pattern(PAIR)))
def test_the_quick_pattern_misses_no_leak(text):
    assert re.search(may_leak_pattern(PAIR), text)


def test_without_adjectives_nothing_is_found():
    assert not any(re.search(leak_pattern(()), text) for text in LEAKS)


@pytest.mark.parametrize(
    ("text", "saved"),
    [
        ("Engaging response: Hello.", "Hello."),
        ("Dull answer - It is blue.", "It is blue."),
        ("**Engaging reply:** Hello.", "Hello."),
        ("**Engaging reply**: Hello.", "Hello."),
        ("**Engaging reply: Hello** there.", "**Hello** there."),
        ("# Engaging Response\n\n* one\n* two", "* one\n* two"),
        ("  Here is a very dull answer:\nBlue.", "Blue."),
        ("Here\u2019s an engaging reply: Hi", "Hi"),
        ("[Dull answer] Blue.", "Blue."),
        ("(dull response) Blue.", "Blue."),
        ("Bad answer: blue", "blue"),
        ("Engaging response:", ""),
        ("Engaging response:\n**Bold** start", "**Bold** start"),
        ("ENGAGING RESPONSE\uff1aHello", "Hello"),
    ],
)
def test_a_leading_label_is_taken_off(text, saved):
    assert strip_label(text, PAIR) == saved


@pytest.mark.parametrize(
    "text",
    [
        "",
        " Hello.",
        "Engaging responses are rare.",
        "Dull answer-givers abound.",
        "Helpful reply: hello",
        "An engaging answer is one that is read.",
        "It is blue.\nDull answer: blue",
        "Response: hello",
    ],
)
def test_anything_else_is_the_same_text(text):
    assert strip_label(text, PAIR) == text


LABELS = st.sampled_from(["Engaging response: ", "Dull answer - ", "**Dull reply:** ", "## Engaging reply\n\n"])


@given(LABELS, st.text())
def test_nothing_that_follows_a_label_is_lost(label, rest):
    assert strip_label(label + "x" + rest, PAIR) == "x" + rest
