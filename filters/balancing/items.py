"""Pairs as the balance sees them.

With lengths c and r (chosen, rejected) and the gap g, a set is level when |#(c > r) - #(c < r)| <= 1 and
|mean c - mean r| <= g min(mean c, mean r), that is when U = sum(c - r - g r) and V = sum(r - c - g c) are both <= 0.
All is counted in integers, so that nothing depends on the order of summation.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class BalanceItems(NamedTuple):
    """Pairs, in the order in which interchangeable ones are taken."""

    side: Ints
    """1: chosen is longer; -1: rejected is; 0: equal."""
    u: Ints
    """The pair's part of U, times the denominator of g."""
    v: Ints
    """The pair's part of V, times the denominator of g. u - v is the difference of the lengths, times a constant."""

    @classmethod
    def of(cls, chosen: Ints, rejected: Ints, gap: Fraction) -> "BalanceItems":
        """From lengths in characters."""
        # In integers of the gap's denominator: float sums over millions depend on the order of the rows.
        ahead = gap.denominator * (chosen - rejected)
        return cls(np.sign(chosen - rejected), ahead - gap.numerator * rejected, -ahead - gap.numerator * chosen)

    def take(self, where: Ints | Bools) -> "BalanceItems":
        """Some of the pairs."""
        return BalanceItems(self.side[where], self.u[where], self.v[where])

    def level(self, kept: Bools) -> bool:
        """Whether the pairs kept satisfy every condition."""
        side, u, v = (int(part[kept].sum()) for part in self)
        return abs(side) <= 1 and u <= 0 and v <= 0
