"""Intervals and agreement against numbers worked by hand."""

from math import comb

import numpy as np
import pytest

from factory.statistics.shares import (
    Interval,
    Kappa,
    cluster_bootstrap,
    cohens_kappa,
    exact_interval,
    ratio,
    score_interval,
    wilson,
)


def test_wilson_by_hand() -> None:
    """8 of 10, z = 1.959964: z^2 = 3.841459, so (0.8 + 0.192073 ± z sqrt(0.016 + 0.009604)) / 1.384146.

    z sqrt(0.02560365) = 0.313615; (0.992073 ± 0.313615) / 1.384146 = 0.490162 and 0.943318.
    """
    assert wilson(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-6)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.277533),  # z^2 / (n + z^2) = 3.841459 / 13.841459
        (10, 10, 0.722467, 1.0),
        (50, 100, 0.403832, 0.596168),  # 0.5 ± z / (2 sqrt(n + z^2)) = 0.5 ± 1.959964 / (2 x 10.190263)
        (161, 200, 0.744560, 0.853945),
    ],
)
def test_wilson_s_interval_is_the_published_one(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=1e-6)


def test_an_exact_interval_by_hand() -> None:
    """One of two drawn of four is right. Were 1 right: found 0 or 1, each in 1/2 of draws; 2: 1/6, 4/6, 1/6; 3: as 1.

    So all that the draws leave possible, 1 to 3, is. At 40 % confidence as well: none has a p-value below 1.
    None of two of forty: were 30 right, that is in 10 x 9 / (40 x 39) = 5.8 % of draws, and 31: 9 x 8 / 1560 = 4.6 %.
    """
    assert exact_interval(1, 2, 4) == (0.25, 0.75)
    assert exact_interval(1, 2, 4, 0.4) == (0.25, 0.75)
    assert exact_interval(0, 2, 40) == (0, 30 / 40)
    assert exact_interval(3, 3, 3) == (1, 1)


@pytest.mark.parametrize("pairs", [20, 100, 734])
@pytest.mark.parametrize("drawn", [1, 2, 5, 10, 19])
def test_an_exact_interval_holds_every_share_95_times_in_100(drawn: int, pairs: int) -> None:
    """In the sum over all that may be drawn, for each number of right ones; Wilson's holds some of them in 80 %."""
    ends = np.array([exact_interval(hits, drawn, pairs) for hits in range(drawn + 1)])
    for right in range(pairs + 1):
        ways = [comb(right, hits) * comb(pairs - right, drawn - hits) for hits in range(drawn + 1)]
        held = (ends[:, 0] - 1e-9 <= right / pairs) & (right / pairs <= ends[:, 1] + 1e-9)
        assert sum(way for way, holds in zip(ways, held, strict=True) if holds) >= 0.95 * comb(pairs, drawn) - 1e-6


def test_nothing_counted_has_no_share_and_no_interval() -> None:
    assert wilson(0, 0) == Interval(None, None)
    assert ratio(0, 0) is None
    assert ratio(0, 3) == 0


def test_kappa_by_hand() -> None:
    """The textbook table: 20 both yes, 5 yes/no, 10 no/yes, 15 both no. p_o 0.7, p_e 0.5 x 0.6 + 0.5 x 0.4 = 0.5."""
    counts = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    assert cohens_kappa(counts) == Kappa(50, 0.7, pytest.approx(0.4))


def test_kappa_at_its_ends() -> None:
    assert cohens_kappa({}) == Kappa(0, None, None)
    assert cohens_kappa({("a", "a"): 9}) == Kappa(9, 1.0, None)  # chance alone would always agree
    assert cohens_kappa({("a", "a"): 5, ("b", "b"): 5}).kappa == 1
    assert cohens_kappa({("a", "b"): 5, ("b", "a"): 5}).kappa == -1


def test_bootstrap_of_single_pairs_is_near_the_binomial_interval() -> None:
    """80 of 100 prompts with one pair each: 0.8 ± 1.96 x 0.04."""
    hits = np.array([1] * 80 + [0] * 20)
    found = cluster_bootstrap(hits, np.ones(100, dtype=np.int64), seed=1)
    assert found == pytest.approx((0.72, 0.88), abs=0.015)
    assert found == wilson(80, 100), "nothing hangs together"


def test_bootstrap_is_wider_where_prompts_hang_together() -> None:
    """10 prompts of 10 pairs each, all right or all wrong: as uncertain as 10 pairs are."""
    clustered = cluster_bootstrap(np.array([10] * 8 + [0] * 2), np.full(10, 10), seed=1)
    assert clustered.low is not None
    assert clustered.low <= 0.55


@pytest.mark.parametrize("prompts", [5, 30])
@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_bootstrap_holds_the_share_also_of_few_prompts_and_near_one(prompts: int, alike: float, share: float) -> None:
    """Four pairs a prompt, each with the mind of its prompt with probability `alike`, in 400 draws."""
    random = np.random.default_rng([prompts, int(10 * alike), int(100 * share)])
    totals, held = np.full(prompts, 4), 0
    for draw in range(400):
        of_prompt = random.random((prompts, 1)) < share
        own = random.random((prompts, 4)) < share
        right = np.where(random.random((prompts, 4)) < alike, of_prompt, own)
        low, high = cluster_bootstrap(right.sum(axis=1), totals, seed=draw, resamples=100)
        assert low is not None
        assert high is not None
        held += low <= share <= high
    assert held / 400 >= 0.92


@pytest.mark.parametrize("right", [0, 4])
def test_bootstrap_of_prompts_that_are_all_alike_is_no_point(right: int) -> None:
    """Five prompts, all right or all wrong, say what five pairs say, however many pairs each has."""
    found = cluster_bootstrap(np.full(5, right), np.full(5, 4), seed=1)
    one_each = wilson(5 * right / 4, 5)
    ends = (found.low, one_each.low) if right else (one_each.high, found.high)
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[0] <= ends[1]
    assert found != Interval(right / 4, right / 4)


def test_bootstrap_of_nothing_or_of_one_prompt_is_unknown() -> None:
    empty = np.array([], dtype=np.int64)
    assert cluster_bootstrap(empty, empty, seed=1) == Interval(None, None)
    assert cluster_bootstrap(np.array([3]), np.array([4]), seed=1) == Interval(None, None)
    assert cluster_bootstrap(np.array([0, 0]), np.array([0, 0]), seed=1) == Interval(None, None)


def test_an_interval_holds_its_share_to_the_last_bit() -> None:
    for n in range(1, 3000):
        for share in (0.0, 1 / n, 1.0):
            low, high = score_interval(share, 3.8414588206941236 / n)
            assert 0 <= low <= share <= high <= 1
