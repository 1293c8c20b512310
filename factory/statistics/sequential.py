"""Is a share at least so large? Looking after every pair, and stopping as soon as the answer is certain enough.

Pairs are drawn in random order, none of them twice, and each is right or not. Against "less than the share" stands a
mixture of larger shares: its likelihood over that of the largest smaller share is a martingale when that one is true,
and falls when a smaller one is, so that it exceeds 1 / risk at any time with probability risk at most (Ville 1939; the
mixture test is Robbins's, 1970; for draws without replacement Waudby-Smith and Ramdas, NeurIPS 2020). So it may be
looked at after every pair, and "at least" and "less" each be told at the full risk: only one of them can be false.
"""

from collections.abc import Callable
from math import ceil, inf, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from factory.errors import InputError

ABOVE, BELOW = "above", "below"
RISK = 0.05
_ALTERNATIVES = 400
"""At most so many other shares are weighed on either side."""
_REACH = 0.05
"""A share d away is weighed with d exp(-d / reach): most where it is 0.05 to 0.1 away, which is what is asked about."""


class ConfidenceBounds(NamedTuple):
    """The shares that are not ruled out, each end at the full risk."""

    low: float
    high: float


class Certifier:
    """What random draws out of `pairs` pairs say of the share of right ones among all of them."""

    def __init__(self, pairs: int, share: float, risk: float = RISK) -> None:
        """`share`, strictly between 0 and 1, is what is to be certified; `risk` that a certificate is false."""
        if not 0 < share < 1:
            raise InputError(f"a share to certify lies between 0 and 1, such as 0.75, and is not {share}")
        self._pairs, self._bar = pairs, log(1 / risk)
        # 0.07 x 100 is 7.000000000000001 as floats, and eight would be asked for.
        self._enough = ceil(share * pairs - 1e-9)
        # Once: a likelihood is then four look-ups, and it is asked for after every pair.
        self._factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, pairs + 1)))])

    def verdict(self, right: int, drawn: int) -> str | None:
        """`above` (at least the share), `below` (less than it), or None while neither is certain enough."""
        if self._above(self._enough, right, drawn):
            return ABOVE
        return BELOW if self._below(self._enough, right, drawn) else None

    def at_least(self, right: int, drawn: int) -> int:
        """How many draws more a verdict takes at the very least; all that are left where none can come of them."""
        left = self._pairs - drawn
        up = _last(0, left, lambda more: not self._above(self._enough, right + more, drawn + more)) + 1
        down = _last(0, left, lambda more: not self._below(self._enough, right, drawn + more)) + 1
        return min(left, up, down)

    def ends(self, right: int, drawn: int) -> ConfidenceBounds:
        """The confidence sequence after these draws: `above` is certified exactly up to its low end."""
        most = self._pairs - drawn + right
        low = _last(right, most, lambda count: self._above(count, right, drawn))
        high = most + 1 - _last(0, most - low, lambda less: self._below(most + 1 - less, right, drawn))
        return ConfidenceBounds(low / self._pairs, (high - 1) / self._pairs)

    def _above(self, count: int, right: int, drawn: int) -> bool:
        """Whether at least `count` right ones are certified, against one less and any smaller number."""
        if not right < count <= self._pairs - drawn + right:
            return count <= right
        others = _grid(count, self._pairs)
        return self._evidence(count - 1, others, right, drawn) >= self._bar

    def _below(self, count: int, right: int, drawn: int) -> bool:
        """Whether fewer than `count` right ones are certified, against that number and any larger one."""
        if not right < count <= self._pairs - drawn + right:
            return count > right
        others = _grid(count - 1, 0)
        return self._evidence(count, others, right, drawn) >= self._bar

    def _evidence(self, null: int, others: NDArray[np.int64], right: int, drawn: int) -> float:
        """Logarithm of the mean likelihood of `others` over the likelihood of `null`."""
        against = self._likelihood(np.array([null]), right, drawn)[0]
        far = np.abs(others - null) / self._pairs
        weights = far * np.exp(-far / _REACH)
        ratios = self._likelihood(others, right, drawn) - against
        top = float(ratios.max())
        # The largest taken out first: likelihoods of thousands of draws are below what a float holds.
        return -inf if top == -inf else top + log(float((weights * np.exp(ratios - top)).sum() / weights.sum()))

    def _likelihood(self, counts: NDArray[np.int64], right: int, drawn: int) -> NDArray[np.float64]:
        """Logarithm of how likely the draws are with so many right pairs, up to what is the same for all counts."""
        wrong, others = drawn - right, self._pairs - counts
        possible = (counts >= right) & (others >= wrong)
        safe, rest = np.where(possible, counts, right), np.where(possible, others, wrong)
        table = self._factorials
        made: NDArray[np.float64] = table[safe] - table[safe - right] + table[rest] - table[rest - wrong]
        return np.where(possible, made, -inf)


def _grid(near: int, far: int) -> NDArray[np.int64]:
    """Counts from the one end to the other, at most _ALTERNATIVES."""
    return np.unique(np.linspace(near, far, min(abs(far - near) + 1, _ALTERNATIVES)).round().astype(np.int64))


def _last(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The largest number from low to high for which `holds`, which it does at low and, once false, never again."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
