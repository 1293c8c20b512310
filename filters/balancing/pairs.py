"""The largest level set of pairs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from filters.balancing.items import BalanceItems, Bools, Ints


class Sizes(NamedTuple):
    """How many pairs of each side to keep."""

    longer: int
    shorter: int


def balance(items: BalanceItems) -> Bools:
    """Which pairs to keep: the exact optimum, in O(n log n) unless the pairs are few or freakish.

    Pairs of equal length only help, and are all kept. For each number of the others, from the most down, the smallest
    possible U and V are prefix sums; where one of them is positive there is no such set. Where neither is, a walk from
    any set of that size to the one with the smallest U or V passes a level one, unless its steps are wider than the gap
    allows: then an integer program decides.
    """
    # The first that works is the largest there is.
    for sizes in _possible_sizes(items):
        near = _walk(items, sizes)
        if items.level(near):
            return near
        from filters.balancing.program import level_set

        kept = level_set(items, near)
        if kept is not None:
            return kept
    return np.asarray(items.side == 0)


def _possible_sizes(items: BalanceItems) -> Iterator[Sizes]:
    """Sizes for which neither condition on the means is out of reach, the largest sum first."""
    equal, longer, shorter = (items.take(items.side == side) for side in (0, 1, -1))
    # Two beyond the smaller side: one side may have a pair more, and the last of them is cut off below.
    pairs = np.arange(min(len(longer.u), len(shorter.u)) + 2)
    sizes = np.concatenate(
        [np.stack(both, axis=1) for both in ((pairs, pairs), (pairs + 1, pairs), (pairs, pairs + 1))]
    )
    sizes = sizes[(sizes[:, 0] <= len(longer.u)) & (sizes[:, 1] <= len(shorter.u))]
    possible = np.ones(len(sizes), dtype=bool)
    for fixed, *sides in ((equal.u, longer.u, shorter.u), (equal.v, longer.v, shorter.v)):
        least = [np.concatenate(([0], np.cumsum(np.sort(side)))) for side in sides]
        possible &= fixed.sum() + least[0][sizes[:, 0]] + least[1][sizes[:, 1]] <= 0
    sizes = sizes[possible]
    for longer_count, shorter_count in sizes[np.argsort(-sizes.sum(axis=1), kind="stable")]:
        yield Sizes(int(longer_count), int(shorter_count))


def _walk(items: BalanceItems, sizes: Sizes) -> Bools:
    """The first pairs of each side, changed by as few swaps as make them level; if no swaps do, the nearest to it."""
    kept: Bools = np.asarray(items.side == 0)
    sides = [np.flatnonzero(items.side == side) for side in (1, -1)]
    for side, count in zip(sides, sizes, strict=True):
        kept[side[:count]] = True
    key = items.u if (items.u - items.v)[kept].sum() > 0 else items.v
    swaps = [_swaps(side, key, count) for side, count in zip(sides, sizes, strict=True)]
    out, into = (np.concatenate(parts) for parts in zip(*swaps, strict=True))
    # The swaps that change most first: the fewest of them are then enough. Stable, so that equal ones keep their drawn
    # order.
    order = np.argsort(key[into] - key[out], kind="stable")
    out, into = out[order], into[order]
    u, v = (np.cumsum(np.concatenate(([part[kept].sum()], part[into] - part[out]))) for part in (items.u, items.v))
    excess = np.maximum(np.maximum(u, v), 0)
    best = np.flatnonzero(excess == excess.min())
    steps = best[np.argmin(np.abs(u - v)[best])]
    kept[out[:steps]], kept[into[:steps]] = False, True
    return kept


def _swaps(side: Ints, key: Ints, count: int) -> tuple[Ints, Ints]:
    """Pairs to leave and to take, one for one, from the first `count` of a side to those with the smallest key."""
    smallest = np.zeros(len(side), dtype=bool)
    smallest[np.argsort(key[side], kind="stable")[:count]] = True
    first = np.arange(len(side)) < count
    out, into = side[first & ~smallest], side[~first & smallest]
    return out[np.argsort(-key[out], kind="stable")], into[np.argsort(key[into], kind="stable")]
