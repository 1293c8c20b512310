"""Intervals of means of shares: they hold the truth where groups differ, prompts are few, or all went well."""

import numpy as np
import pytest

from factory.reward.accuracy import Weighted, bootstrapped, mean, percentiles, resampled, resampled_part, tally


def test_the_mean_of_a_small_coin_and_large_sure_groups_holds_the_truth() -> None:
    """Four groups weigh alike: 50 pairs at 0.5, three of 1,000 at 0.99. Kish's size alone held it in 84 % of draws."""
    random, held = np.random.default_rng(1), 0
    groups = [(50, 0.5), (1000, 0.99), (1000, 0.99), (1000, 0.99)]
    truth = sum(share for _, share in groups) / 4
    for _ in range(500):
        found = mean([Weighted(random.binomial(n, share) / n, n, 1.0) for n, share in groups])
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert held / 500 >= 0.92


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_an_accuracy_holds_the_truth_where_prompts_have_several_pairs(share: float) -> None:
    """Six pairs a prompt, as with every pair of four replies, four of them with the mind of the prompt.

    Wilson's interval of single pairs holds it in 76 % of draws.
    """
    random, held, prompts = np.random.default_rng(1), 0, [str(number) for number in range(40) for _ in range(6)]
    for _ in range(300):
        alike, own = random.random((40, 1)) < share, random.random((40, 6)) < share
        won = np.where(random.random((40, 6)) < 2 / 3, alike, own).ravel()
        found = tally([(float(one), 0.5) for one in won], prompts, 1)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= share <= found.high
    assert held / 300 >= 0.92


@pytest.mark.parametrize("prompts", [5, 20, 100])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_bootstrapped_share_holds_the_truth(prompts: int, share: float) -> None:
    random, held = np.random.default_rng(prompts), 0
    for _ in range(200):
        values = (random.random(prompts) < share).astype(np.float64)
        low, high = bootstrapped(float(values.mean()), resampled(values, random), prompts)
        assert low is not None
        assert high is not None
        held += low <= share <= high
    assert held / 200 >= 0.9


@pytest.mark.parametrize("prompts", [2, 3, 5])
def test_the_mean_of_a_few_shares_holds_the_truth(prompts: int) -> None:
    """Each prompt has a share of its own, as of the pairs of its replies; the normal quantile held it in 69 to 89 %."""
    random, held = np.random.default_rng(prompts), 0
    for _ in range(200):
        values = random.beta(8, 8, prompts)
        low, high = bootstrapped(float(values.mean()), resampled(values, random), prompts)
        assert low is not None
        assert high is not None
        held += low <= 0.5 <= high
    assert held / 200 >= 0.92


@pytest.mark.parametrize(("large", "small"), [(0.9, 0.9), (0.95, 0.5), (0.98, 0.9)])
def test_the_mean_of_large_groups_and_one_of_five_prompts_holds_the_truth(large: float, small: float) -> None:
    """Three groups of 100 prompts and one of five; five prompts that all went well held it in 43 to 88 % of draws."""
    random, held, truth = np.random.default_rng(1), 0, (3 * large + small) / 4
    for _ in range(200):
        groups = [(random.random(n) < share).astype(float) for n, share in [(100, large)] * 3 + [(5, small)]]
        draws = np.mean([resampled_part(values, random) for values in groups], axis=0)
        low, high = bootstrapped(float(np.mean([values.mean() for values in groups])), draws, 305)
        assert low is not None
        assert high is not None
        held += low <= truth <= high
    assert held / 200 >= 0.91


@pytest.mark.parametrize("value", [0.0, 1 / 3, 0.75, 1.0])
def test_prompts_that_all_went_alike_leave_room(value: float) -> None:
    values = np.full(5, value)
    low, high = bootstrapped(value, resampled(values, np.random.default_rng(1)), 5)
    assert low is not None
    assert high is not None
    assert low <= value <= high
    assert high - low > 0.4


def test_what_is_no_share_has_percentiles() -> None:
    values = np.linspace(0.9, 1.1, 2000)
    assert bootstrapped(1.005, values, 50) == percentiles(values)
