"""Integer programs (HiGHS, through scipy) for what sorting cannot settle: few pairs, or pairs of freakish length."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from filters.balancing.items import BalanceItems, Bools, Ints

WHOLE = 3000
"""Most pairs of which the whole program is solved, which makes the result exact whatever the pairs are."""
_CORE = 40
"""Pairs of each kind that are free in the program that is tried first."""
_SECONDS = 60.0
"""Longest search; a program that is not settled by then counts as one without solution."""
_TRIES = 50


def level_set(items: BalanceItems, near: Bools) -> Bools | None:
    """A level set with as many pairs of each side as `near`, looked for close to it first; None where there is none."""
    for free in (_core(items, near), np.arange(len(near)) if len(near) <= WHOLE else None):
        if free is None:
            continue
        fixed = near.copy()
        fixed[free] = False
        some = items.take(free)
        sides = np.stack([some.side == 1, some.side == -1, some.side == 0]).astype(float)
        counts = sides @ near[free]
        found = _solve(some, items.take(fixed), LinearConstraint(sides, counts, counts), np.zeros(len(free)))
        if found is not None:
            fixed[free] = found
            return fixed
    return None


def _core(items: BalanceItems, near: Bools) -> Ints:
    """Of each side, kept and not: the first, those that a swap would change least, and those it would change most."""
    core: list[Ints] = []
    for side in (1, -1):
        for held in (True, False):
            part = np.flatnonzero((items.side == side) & (near == held))
            by_length = part[np.argsort(items.u[part], kind="stable")]
            core += [part[:_CORE], by_length[:_CORE], by_length[-_CORE:]]
    return np.unique(np.concatenate(core))


def largest_set(items: BalanceItems, group: Ints, fixed: BalanceItems) -> Bools:
    """The largest choice of at most one pair of each group that is level beside the fixed pairs; none where none is."""
    numbered = np.unique(group, return_inverse=True)[1]
    member = csr_array((np.ones(len(group)), (numbered, np.arange(len(group)))))
    found = _solve(items, fixed, LinearConstraint(member, -np.inf, 1), -np.ones(len(group)))
    return np.zeros(len(group), dtype=bool) if found is None else found


def _solve(
    items: BalanceItems, fixed: BalanceItems, counts: LinearConstraint, cost: NDArray[np.float64]
) -> Bools | None:
    """The cheapest choice of items that is level beside the fixed ones. The solver's floats are checked in integers."""
    side, u, v = (int(part.sum()) for part in fixed)
    level = LinearConstraint(np.stack(items).astype(float), [-1 - side, -np.inf, -np.inf], [1 - side, -u, -v])
    cuts: list[LinearConstraint] = []
    for _ in range(_TRIES):
        # By default the solver ends within a ten-thousandth of the optimum, which of 10,000 pairs is one.
        options = {"mip_rel_gap": 0.0, "time_limit": _SECONDS}
        found = milp(cost, integrality=1, bounds=Bounds(0, 1), constraints=[counts, level, *cuts], options=options)
        if found.x is None:
            return None
        chosen = found.x > 0.5
        if _fits(items, fixed, chosen):
            return np.asarray(chosen)
        # A choice that is level in floats and not in integers is forbidden, and the next best asked for.
        cuts.append(LinearConstraint(np.where(chosen, 1.0, -1.0)[None, :], -np.inf, chosen.sum() - 1))
    return None


def _fits(items: BalanceItems, fixed: BalanceItems, chosen: Bools) -> bool:
    side, u, v = (int(ours.sum() + theirs[chosen].sum()) for ours, theirs in zip(fixed, items, strict=True))
    return abs(side) <= 1 and u <= 0 and v <= 0
