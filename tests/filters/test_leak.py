import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.leak import leaks
from principles.leaks import leak_pattern
from tests.filters.table import row, run, table
from tests.principles.test_leaks import INNOCENT, PAIR
from tests.principles.test_leaks import LEAKS as WHILE_MAKING

LEAKS = [
    "Engaging response: Once upon a time",
    "**Dull Answer:** It rained.",
    "As a dull answer, I would say that it rained.",
    "It rained. As an engaging assistant I add that it poured.",
    "Here's an unhelpful response: no.",
    "This is a deliberately boring answer to your question.",
    "It is intentionally incomplete.",
    "The Verbose reply - : words",
]
CLEAN = [
    "The talk was engaging. Response: good.",
    "It was a dull day.",
    "As a helpful tip, drink water.",
    "Answer: 42",
    "Safe answers are rare.",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_reply_that_names_its_principle_has_leaked(text):
    found = run({"use": "leak"}, table([row("chosen", chosen=text), row("rejected", rejected=text)]))
    assert found.reasons == {"chosen": "chosen_leak", "rejected": "rejected_leak"}


@pytest.mark.parametrize("text", CLEAN)
def test_adjectives_by_themselves_are_no_leak(text):
    assert run({"use": "leak"}, table([row("x", chosen=text, rejected=text)])).reasons == {"x": None}


@pytest.mark.parametrize("text", [*WHILE_MAKING, *INNOCENT])
def test_the_filter_finds_what_is_found_while_pairs_are_made(text):
    pairs = table([row("x", chosen=text, rejected="It is blue.")])
    found = run({"use": "leak", "principles": [], "adjectives": list(PAIR)}, pairs)
    assert found.reasons == {"x": "chosen_leak" if text in WHILE_MAKING else None}


def test_adjectives_of_the_user_take_the_place_of_the_set_s():
    pairs = table([row("own", rejected="Pirate-like answer: arr"), row("set", rejected=LEAKS[0])])
    own = {"use": "leak", "principles": [], "adjectives": ["pirate-like"]}
    assert run(own, pairs).reasons == {"own": "rejected_leak", "set": None}
    assert run({"use": "leak", "principles": []}, pairs).reasons == {"own": None, "set": None}


def test_looking_closely_where_an_adjective_stands_finds_what_the_pattern_finds():
    words = frozenset({"dull", "engaging"})
    texts = ["Dull answer: no", "as a DULL assistant", "dull", "an answer", "", None, "Here is an engaging reply"]
    frame = pl.DataFrame({"text": pl.Series(texts)})
    found = frame.select(leaks(pl.col("text"), words)).to_series()
    assert found.to_list() == frame["text"].str.contains(leak_pattern(words)).to_list()
    assert found.to_list() == [True, True, False, False, False, None, True]
    assert not frame.select(leaks(pl.col("text"), frozenset())).to_series().any()


PIECES = [
    "Concise",
    "conciſe",
    "DARK",
    "dar\u212a",
    "éclairé",
    "ÉCLAIRÉ",
    " answer",
    " anſwer: no",
    "as a ",
    "told to be ",
    "\n",
]


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), max_size=6))
@pytest.mark.parametrize("words", [{"concise", "dark"}, {"Dark", "Éclairé"}])
def test_in_any_case_and_spelling_leaks_are_those_of_the_pattern(words, texts):
    frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    found = frame.select(leaks(pl.col("text"), frozenset(words))).to_series()
    assert found.to_list() == frame["text"].str.contains(leak_pattern(words)).to_list()
