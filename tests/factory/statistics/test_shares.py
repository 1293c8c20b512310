"""Intervals and agreement against numbers worked by hand."""

from math import comb

import numpy as np
import pytest

from factory.statistics.shares import (
    Interval,
    Kappa,
    cluster_bootstrap,
    cluster_worth,
    cohens_kappa,
    finite_interval,
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


def test_an_interval_of_a_finite_population_by_hand() -> None:
    """8 of 10 out of 200: 1/10 - 1/200 = 0.095, as 10.526316 of ever so many; but 2 misses end at 1 - 0.355362 / 10.

    0.355362 = a mean of which a Poisson count is 2 or more in 5 % of cases: 1 - (1 + a) exp(-a) = 0.05. Of three misses
    Wilson's end stands, up to 50 drawn: beyond, 0.817691 is the mean of which a count is 3 or more in 5 % of cases. One
    miss: exp(-a) = 0.95, a = 0.051293. Where all are drawn both ends are the share.
    """
    assert finite_interval(8, 10, 200) == pytest.approx((wilson(8 / 0.95, 10 / 0.95).low, 1 - 0.0355362), abs=1e-6)
    assert finite_interval(7, 10, 200) == pytest.approx(wilson(7 / 0.95, 10 / 0.95))
    assert finite_interval(1, 10, 200) == pytest.approx((0.0051293, wilson(1 / 0.95, 10 / 0.95).high), abs=1e-6)
    assert finite_interval(3, 50, 10**9) == pytest.approx(wilson(3, 50), abs=1e-6)
    assert finite_interval(3, 51, 10**9).low == pytest.approx(0.817691 / 51, abs=1e-6)
    assert finite_interval(0, 10, 200)[0] == 0
    assert finite_interval(7, 10, 11) == pytest.approx((7 / 11, 8 / 11)), "7 are known to be right, 3 to be wrong"
    assert finite_interval(9, 10, 10) == (0.9, 0.9)


@pytest.mark.parametrize(("drawn", "least"), [(5, 0.91), (10, 0.91), (20, 0.91), (40, 0.91), (100, 0.92)])
def test_an_interval_of_a_finite_population_holds_nearly_every_share_as_often_as_it_says(
    drawn: int, least: float
) -> None:
    """In the sum over all that may be drawn of 734; Wilson's own ends hold some shares of 2 to 98 % in 83 to 86 %."""
    ends = np.array([finite_interval(hits, drawn, 734) for hits in range(drawn + 1)])
    held = []
    for right in range(15, 720, 5):
        ways = [comb(right, hits) * comb(734 - right, drawn - hits) for hits in range(drawn + 1)]
        inside = (ends[:, 0] - 1e-9 <= right / 734) & (right / 734 <= ends[:, 1] + 1e-9)
        held.append(sum(way for way, holds in zip(ways, inside, strict=True) if holds) / comb(734, drawn))
    assert min(held) >= least
    assert 0.95 <= np.mean(held) <= 0.97


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


def test_what_prompts_that_hang_together_are_worth_by_hand() -> None:
    """Ten prompts of ten pairs, 8 all right: variance 0.16 / 10 x 10 / 9, worth 9, by t at 9 and 99 degrees 6.92.

    Prompts that differ less than chance has it make no interval narrower: 40 pairs are 40, by t at 9 and 39 31.98.
    """
    worth = cluster_worth(np.array([10] * 8 + [0] * 2), np.full(10, 10), seed=1)
    assert worth == pytest.approx(9 / (2.262157 / 1.984217) ** 2, rel=0.05)
    alike = cluster_worth(np.array([2] * 9 + [3]), np.full(10, 4), seed=1)
    assert alike == pytest.approx(40 / (2.262157 / 2.022691) ** 2, rel=1e-5)


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
