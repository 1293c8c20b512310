"""The balance against brute force, and what it does with many pairs."""

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filters.balancing import program
from filters.balancing.items import BalanceItems
from filters.balancing.pairs import balance
from filters.balancing.prompts import balance_prompts

GAPS = st.sampled_from([Fraction(0), Fraction(1, 50), Fraction(1, 10), Fraction(1, 2)])
LENGTH = st.one_of(st.integers(0, 6), st.integers(0, 400), st.sampled_from([1, 10, 100, 10_000]))
PAIRS = st.lists(st.tuples(LENGTH, LENGTH), max_size=9)


def items_of(lengths, gap):
    array = np.array(lengths, dtype=np.int64).reshape(-1, 2)
    return BalanceItems.of(array[:, 0], array[:, 1], gap)


def level(lengths, gap):
    """The definition, straight from the lengths, in exact fractions."""
    if not lengths:
        return True
    chosen, rejected = (Fraction(sum(side), len(lengths)) for side in zip(*lengths, strict=True))
    ahead = sum((c > r) - (c < r) for c, r in lengths)
    return abs(ahead) <= 1 and abs(chosen - rejected) <= gap * min(chosen, rejected)


def largest(lengths, gap, prompts=None):
    """Size of the largest level subset, by trying all."""
    best = 0
    for mask in range(1 << len(lengths)):
        chosen = [n for n in range(len(lengths)) if mask >> n & 1]
        distinct = prompts is None or len({prompts[n] for n in chosen}) == len(chosen)
        if len(chosen) > best and distinct and level([lengths[n] for n in chosen], gap):
            best = len(chosen)
    return best


@settings(max_examples=150, deadline=None)
@given(PAIRS, GAPS)
@example([(10, 1), (1, 2), (1, 2), (1, 2), (1, 10)], Fraction(0))
@example([(0, 0), (5, 5), (9, 3)], Fraction(1, 50))
def test_as_many_pairs_as_brute_force(lengths, gap):
    kept = balance(items_of(lengths, gap))
    assert level([one for one, held in zip(lengths, kept, strict=True) if held], gap)
    assert kept.sum() == largest(lengths, gap)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(LENGTH, LENGTH, st.integers(0, 4)), max_size=9), GAPS, st.randoms(use_true_random=False))
def test_as_many_prompts_are_kept_as_brute_force_keeps(rows, gap, random):
    lengths, prompts = [row[:2] for row in rows], [row[2] for row in rows]
    numbers = np.unique(prompts, return_inverse=True)[1].astype(np.int64)
    kept = balance_prompts(items_of(lengths, gap), numbers, np.array([random.random() for _ in rows]))
    chosen = [n for n in range(len(rows)) if kept[n]]
    assert len({prompts[n] for n in chosen}) == len(chosen)
    assert level([lengths[n] for n in chosen], gap)
    assert len(chosen) == largest(lengths, gap, prompts)


def test_the_most_pairs_are_kept_whose_differences_cancel_out():
    """Ahead by 4, 2 and 1, behind by 3 and 7, one equal, g = 0: differences must cancel out.

    Three against two: 7 is not 10. Two against two: 6, 5 or 3 are not 10. Two against one: 2 + 1 = 3, which is the
    largest; the equal pair always stays.
    """
    lengths = [(14, 10), (12, 10), (11, 10), (7, 10), (3, 10), (10, 10)]
    assert balance(items_of(lengths, Fraction(0))).tolist() == [False, True, True, True, False, True]


def test_the_gap_is_relative_to_the_smaller_mean():
    """Means 102 and 100 are within 2 % of either; 100 and 98 are within 2 % of 100 alone."""
    assert balance(items_of([(102, 100)], Fraction(1, 50))).all()
    assert not balance(items_of([(100, 98)], Fraction(1, 50))).any()
    assert balance(items_of([(100, 102)], Fraction(1, 50))).all()
    assert not balance(items_of([(98, 100)], Fraction(1, 50))).any()


def test_items_are_in_integers():
    """g = 1/50: 50 (c - r) - r and 50 (r - c) - c, for 11 against 10."""
    items = items_of([(11, 10)], Fraction(1, 50))
    assert (items.side[0], items.u[0], items.v[0]) == (1, 40, -61)


@pytest.fixture
def no_program(monkeypatch):
    """Fails where an integer program is asked: large ordinary data must not need one."""
    monkeypatch.setattr(program, "milp", lambda *a, **k: pytest.fail("an integer program was asked"))


def ordinary(rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.lognormal(7.1, 0.7, rows).astype(np.int64), rng.lognormal(7.0, 0.7, rows).astype(np.int64)


@pytest.mark.usefixtures("no_program")
def test_many_pairs_lose_none_but_the_surplus_side():
    """300,000 pairs, the longer side in surplus: all of the other side stay, and the means come out level."""
    chosen, rejected = ordinary(300_000)
    items = BalanceItems.of(chosen, rejected, Fraction(1, 50))
    started = time.process_time()
    kept = balance(items)
    assert time.process_time() - started < 5
    assert items.level(kept)
    ahead, behind = int((items.side > 0).sum()), int((items.side < 0).sum())
    assert ahead > behind
    assert kept.sum() == 2 * behind + 1 + (items.side == 0).sum()
    assert abs(chosen[kept].mean() / rejected[kept].mean() - 1) < 0.001


@pytest.mark.usefixtures("no_program")
def test_many_prompts_keep_a_pair_each():
    chosen, rejected = ordinary(120_000)
    prompts = np.random.default_rng(1).integers(0, 40_000, 120_000)
    numbers = np.unique(prompts, return_inverse=True)[1].astype(np.int64)
    items = BalanceItems.of(chosen, rejected, Fraction(1, 50))
    kept = balance_prompts(items, numbers, np.random.default_rng(2).random(120_000))
    assert items.level(kept)
    assert kept.sum() == len(np.unique(numbers))


def test_lengths_that_differ_too_much_are_left_out_as_few_as_can_be():
    """Every longer pair is ahead by 30, every shorter behind by 10, of about 1,000: d = 20 n / 2n against g = 0.5 %.

    With a longer and b shorter pairs, |a - b| <= 1, U <= 0 asks for 30 a - 10 b <= 0.005 sum r, about 5 (a + b), so
    25 a <= 15 b: only one longer pair against two or more would do, and those may not differ by more than one. a = 1
    and b = 2 gives 25 <= 30; a = 2 and b = 3 gives 50 > 45.
    """
    lengths = [(1030, 1000)] * 20 + [(990, 1000)] * 20
    assert balance(items_of(lengths, Fraction(1, 200))).sum() == 3


def test_exact_means_are_found_among_many_pairs():
    """g = 0 leaves no room at all: the program finds the last swaps."""
    chosen, rejected = ordinary(4000)
    items = BalanceItems.of(chosen, rejected, Fraction(0))
    kept = balance(items)
    assert chosen[kept].sum() == rejected[kept].sum()
    assert kept.sum() == 2 * min((items.side > 0).sum(), (items.side < 0).sum()) + 1 + (items.side == 0).sum()


def test_a_freak_among_many_is_left_out():
    chosen, rejected = ordinary(5000)
    chosen[17] = 10**9
    items = BalanceItems.of(chosen, rejected, Fraction(1, 50))
    kept = balance(items)
    assert items.level(kept)
    assert not kept[17]


def test_nothing_balances_no_rows_and_one_side_alone():
    assert balance(items_of([], Fraction(0))).tolist() == []
    assert balance_prompts(items_of([], Fraction(0)), np.zeros(0, dtype=np.int64), np.zeros(0)).tolist() == []
    assert not balance(items_of([(9, 1)] * 5, Fraction(1, 50))).any()
    assert balance(items_of([(7, 7)] * 5, Fraction(0))).all()
