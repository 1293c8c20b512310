"""What judging could save at most: the bound of benchmarks/frugal.py, worked by hand on a few pairs."""

from collections.abc import Iterable
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.frugal import fewest

COINS = list(product((1, -1), repeat=4))
"""A pair for each way in which two judges can vote in two orders: every vote is a coin that tells nothing of others."""
ALIKE = [(1, 1, 1, 1), (-1, -1, -1, -1)]
"""Judges that agree with each other and never turn."""


def likes(pairs: Iterable[tuple[int, ...]]) -> NDArray[np.float64]:
    """[judge, order, pair] from each pair's votes: 1 for chosen, -1 for rejected."""
    return np.array(list(pairs), dtype=float).T.reshape(2, 2, -1)


@pytest.mark.parametrize(
    ("pairs", "price", "calls", "others"),
    [
        # A judge is settled by its first vote for chosen, in one of two pairs: 1.5 calls on average. It drops one pair
        # in four, about which the other judge is not asked: 1.5 + 3/4 * 1.5.
        (COINS, 1e9, 2.625, 0),
        # Nobody is asked where no decision is worth a call; 9 in 16 pairs pass both judges, and all are kept.
        (COINS, 0, 0, 7 / 16),
        # One vote says the other three.
        (ALIKE, 1e9, 1, 0),
        # It is worth its call where a decision is worth two: without it one in two is another.
        (ALIKE, 2.1, 1, 0),
        (ALIKE, 1.9, 0, 1 / 2),
    ],
)
def test_the_fewest_calls_are_those_by_hand(
    pairs: list[tuple[int, ...]], price: float, calls: float, others: float
) -> None:
    assert fewest(likes(pairs), 2, price) == (pytest.approx(calls / 4), pytest.approx(others))
