"""Accuracy by length and the calibration of rewards, worked by hand."""

from itertools import count
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.reward.pairwise import ScoredPair, by_length, calibration, sigmoid

PROMPTS = count()


def pair(margin: float | None, chosen: int = 5, rejected: int = 5, prompt: str | None = None) -> ScoredPair:
    """Of a prompt of its own, where none is named."""
    return ScoredPair(margin, None if margin is None else 0.0, chosen, rejected, prompt or str(next(PROMPTS)))


def test_accuracy_is_told_for_longer_shorter_and_equal_chosen() -> None:
    """Longer: 1 of 2; shorter: 3 of 3, one without a score; equal: 0 of 1. Their mean is 0.75, whatever the counts."""
    pairs = [pair(1, 9), pair(-1, 9), *[pair(2, 1)] * 3, pair(None, 1), pair(-3)]
    found = by_length(pairs, 1)
    assert [found["by_length"][name]["wins"] for name in ("chosen_longer", "chosen_shorter", "equal")] == [1, 3, 0]
    assert found["by_length"]["chosen_shorter"]["missing"] == 1
    assert found["length_mean"] == 0.75
    assert found["length_mean_low"] < 0.75 < found["length_mean_high"]
    assert found["always_longer"] == pytest.approx(2 / 6)
    assert found["always_shorter"] == pytest.approx(3 / 6)
    assert by_length([pair(1, 9)], 1)["length_mean"] is None
    assert by_length([], 1)["always_longer"] is None


def test_pairs_of_one_prompt_leave_the_length_mean_less_sure() -> None:
    """Forty pairs, and the same of eight prompts, each with five that are all won or all lost."""
    sides = [(2.0 * (number % 4 > 0) - 1, 9 if number % 8 < 4 else 1, str(number % 8)) for number in range(40)]
    alone = by_length([pair(margin, length) for margin, length, _ in sides], 1)
    found = by_length([pair(margin, length, prompt=prompt) for margin, length, prompt in sides], 1)
    assert alone["length_mean"] == found["length_mean"] == 0.75
    assert found["length_mean_low"] < alone["length_mean_low"] - 0.1


LENGTHS = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(deadline=None)
@given(st.lists(LENGTHS, min_size=1), st.sampled_from([1, -1]))
def test_a_model_of_length_alone_gets_half(lengths: list[tuple[int, int]], sign: int) -> None:
    """Whether it prefers the longer or the shorter reply, and its accuracy is that baseline."""
    found = by_length([ScoredPair(sign * one, sign * other, one, other, str(one)) for one, other in lengths], 1)
    assert found["length_mean"] in (0.5, None)
    wins = sum(group["wins"] for group in found["by_length"].values())
    assert found["always_longer" if sign == 1 else "always_shorter"] == pytest.approx(wins / len(lengths))


def test_calibration_compares_confidence_with_accuracy() -> None:
    """Confidence 0.731 four times, right three times; 0.953 once, wrong: ECE = (4 |0.75 - 0.731| + 0.953) / 5."""
    found = calibration([pair(1), pair(1), pair(1), pair(-1), pair(-3), pair(None)])
    one, three = sigmoid(1), sigmoid(3)
    assert [(row["n"], row["accuracy"]) for row in found["bins"]] == [(4, 0.75), (1, 0.0)]
    assert found["bins"][0]["confidence"] == pytest.approx(one)
    assert (found["bins"][0]["from"], found["bins"][0]["to"]) == (0.7, 0.75)
    assert found["ece"] == pytest.approx((4 * (0.75 - one) + three) / 5)
    assert found["log_loss"] == pytest.approx(-(3 * log(one) + log(1 - one) + log(1 - three)) / 5)
    assert found["brier"] == pytest.approx((3 * (1 - one) ** 2 + one**2 + three**2) / 5)


def test_a_model_that_knows_nothing_has_the_losses_of_a_coin() -> None:
    found = calibration([pair(0.0)] * 4)
    assert (found["ece"], found["brier"]) == (0.0, 0.25)
    assert found["log_loss"] == pytest.approx(log(2))
    assert calibration([])["ece"] is None
    assert calibration([pair(900.0), pair(-900.0)])["log_loss"] == pytest.approx(450)
