"""Reading verdicts: what is read, what is doubtful."""

import math

import pytest

from factory.engines.base import Completion
from factory.stages.verdict import Verdict, read_text, read_verdict


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        " {} \n",
        "{}.",
        '"{}"',
        "'{}'",
        "`{}`",
        "**{}**",
        "**{}**.",
        "({})",
        "[{}]",
        "{}<|im_end|>",
        "{}</s>",
        "Answer: {}",
        "answer:{}",
        "**Answer:** {}",
        "The answer is {}.",
        "Reply {}",
        "Reply {} is better.",
        "Model {} is the better one.",
        "The best model is {}",
        'The best model is "{}".',
        "The better reply is {}.",
        "The better reply is reply {}.",
        "I prefer {}.",
        "I would choose reply {}",
        "{} is better",
        "{} is clearly better because it answers the question.",
        "{} because it answers the question.",
        "{}, because it is true",
        "{} - since it is true",
        "{}\n\nThe other one does not answer what was asked.",
        "{}. The other reply is not true.",
        "The first reply is vague. The second is precise.\n\n{}",
        "The first one rambles.\nVerdict: {}",
        '{{"identifier": "{}"}}',
        '{{"best": "{}"}}',
        "<think>m or M? Not sure.</think>{}",
        "I'm sure of it.\n{}",
        "I'm sure of it.\n{}\n---",
    ],
)
@pytest.mark.parametrize("identifier", ["m", "M"])
def test_an_identifier_is_read_in_every_dress(form: str, identifier: str) -> None:
    assert read_text(form.format(identifier)) == identifier


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "mm",
        "MM",
        "model",
        "Maybe",
        "I'm",
        "I’m not sure",
        "m or M",
        "m/M",
        "M > m",
        "M is better than m",
        "m\nM",
        "not m",
        "Not M.",
        "The answer is not m.",
        "M is worse.",
        "m is not better",
        "M isn't better",
        "Neither m",
        "I am not sure, but I choose M",
        "M is better in no way",
        "It would have been the case that the better reply is m",
        "Both, but M is better",
        "It's a tie: M",
        "It depends, M",
        "It is 5 m long.",
        "Ask M for help with this",
        "The replies are equal",
        "<think>m is better, M is not",
        "<think>\nM is better",
        "A",
        "1",
        "The first one",
        "chosen",
        "µ",
    ],
)
def test_an_answer_in_doubt_is_no_verdict(text: str) -> None:
    assert read_text(text) is None


def test_a_cut_answer_may_have_ended_inside_a_word() -> None:
    assert read_text("The better reply is m", cut=True) is None
    assert read_text("First thoughts.\nM", cut=True) is None
    assert read_text("M", cut=True) == "M"  # max_new_tokens: 1
    assert read_text("M is better because it", cut=True) == "M"


def answer(text: str | None, m: float | None = None, big_m: float | None = None) -> Completion:
    probabilities = {"m": m, "M": big_m}
    known = {name: math.log(p) for name, p in probabilities.items() if p is not None}
    return Completion("a", text, "stop", choice_logprobs=known or None)


def test_log_probabilities_decide_where_they_hold_the_mass() -> None:
    """Softmax over 0.6 and 0.2 gives m 0.75."""
    found = read_verdict(answer("M", 0.6, 0.2))
    assert found.identifier == "m"
    assert found.p_first == pytest.approx(0.75)


def test_unlikely_identifiers_give_way_to_a_text_that_can_be_read() -> None:
    assert read_verdict(answer("The better reply is M.", 0.003, 0.001)) == Verdict("M")
    found = read_verdict(answer("Well now", 0.003, 0.001))
    assert (found.identifier, found.p_first) == ("m", pytest.approx(0.75))


def test_unlikely_identifiers_keep_their_probability_where_the_text_says_what_they_say() -> None:
    """An engine that answers with the likelier of the two always says so, however little mass they hold."""
    found = read_verdict(answer("m", 0.003, 0.001))
    assert (found.identifier, found.p_first) == ("m", pytest.approx(0.75))


def test_one_identifier_alone_is_no_comparison() -> None:
    assert read_verdict(answer("M", m=0.9)) == Verdict("M")
    assert read_verdict(answer("hm", m=0.9)) == Verdict(None)
    assert read_verdict(Completion("a", "M", choice_logprobs={"m": 2.0, "M": math.nan})) == Verdict("M")


def test_a_dead_heat_decides_nothing() -> None:
    assert read_verdict(answer("both", 0.5, 0.5)) == Verdict(None)
    assert read_verdict(answer("M", 0.5, 0.5)) == Verdict("M")


def test_extremes_do_not_overflow() -> None:
    found = read_verdict(Completion("a", "x", choice_logprobs={"m": -2000.0, "M": 0.0}))
    assert (found.identifier, found.p_first) == ("M", pytest.approx(0.0))
    found = read_verdict(Completion("a", "x", choice_logprobs={"m": 0.0, "M": -math.inf}))
    assert found == Verdict("m", 1.0)


def test_no_answer_no_verdict() -> None:
    assert read_verdict(answer(None)) == Verdict(None)
