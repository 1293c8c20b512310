"""Words for one of two replies, as judges, annotators and exports write them."""

import pytest

from factory.readers.cells.reply_words import in_words, number_in

FIRST = (
    *("a", "model_a", "assistant a", "[[a]]", "(a)", '"a"', "a.", "option a", "response_a", "a>b", "a>>b", "b<a"),
    *("a is better", "a-is-clearly-better", "response a is significantly better than response b", "a_better"),
    *("a wins", "model_a_wins", "winner: a", "prefer a", "first", "first response", "1st", "left_response", "the left"),
    *("primera", "première", "erste", "primeira", "первый", "第一个", "a更好", "回答a", "respuesta_a", "resposta_a"),
)
SECOND = (
    {"a": "b", "first": "second", "1st": "2nd", "left_response": "right_response", "the left": "the right"}
    | {"primera": "segunda", "première": "deuxième", "erste": "zweite", "primeira": "segunda", "первый": "второй"}
    | {"第一个": "第二个", "a更好": "b更好", "b<a": "a<b", "response_a": "response_b", "winner: a": "winner: b"}
)
NEITHER = ("model_c", "apple", "alabama", "blue", "better", "response", "", "prima facie", "a and b", "ab", "first aid")


@pytest.mark.parametrize("word", FIRST)
def test_words_for_the_first_reply_are_read_as_such(word):
    assert in_words(word) == 1


@pytest.mark.parametrize("word", SECOND.values())
def test_words_for_the_second_reply_are_read_as_such(word):
    assert in_words(word) == -1


@pytest.mark.parametrize(
    "word", ["tie", "Tie (bothbad)".lower(), "tie (inconsistent)", "both_bad", "empate", "平局", "a=b", "a > a"]
)
def test_words_for_a_tie_are_read_as_such(word):
    assert in_words(word) == 0


@pytest.mark.parametrize("word", NEITHER)
def test_words_that_name_no_reply_are_no_verdict(word):
    assert in_words(word) is None
    assert number_in(word) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("response 1", 1), ("response-2 is better", 2), ("-1", -1), (".5", 0.5), ("2.", 2), ("1.0", 1)],
)
def test_numbers_keep_their_sign_and_point(text, number):
    assert number_in(text) == number


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf"])
def test_what_is_no_number_says_nothing(text):
    assert number_in(text) is None
