"""The largest level set with at most one pair of each prompt."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from filters.balancing.items import BalanceItems, Bools, Ints
from filters.balancing.pairs import balance
from filters.balancing.program import WHOLE, largest_set

_STRONGEST = 4.0
"""Bound of the prices, beside preferences below 1: a price this high decides nearly alone."""
_CORE = 150
"""Prompts of each kind that are free in the program that tries for a larger set."""


class Choices(NamedTuple):
    """Pairs in the order of their prompts, which are numbered from 0."""

    items: BalanceItems
    prompt: Ints
    starts: Ints
    """Where each prompt's pairs begin."""

    def any(self, where: Bools) -> Bools:
        """Per prompt, whether it holds for one of its pairs."""
        return np.logical_or.reduceat(where, self.starts)

    def best(self, value: NDArray[np.float64]) -> tuple[Ints, NDArray[np.float64]]:
        """Per prompt, its pair of the highest value (the first of equals), and that value."""
        highest = np.maximum.reduceat(value, self.starts)
        found = np.flatnonzero(value == highest[self.prompt])
        return found[np.unique(self.prompt[found], return_index=True)[1]], highest


def balance_prompts(items: BalanceItems, prompt: Ints, preference: NDArray[np.float64]) -> Bools:
    """Which pairs to keep, at most one of each prompt: as many as can be.

    `prompt` numbers prompts from 0; `preference`, from 0 to 1, is random by pair and decides where nothing else does.
    Each prompt chooses its pair at two prices, one on the longer side and one on the difference of the lengths, set so
    that the choices are level; what is left over goes to `balance`. When the result is as large as the sides' numbers
    allow at all, it is the optimum. When not, an integer program finds the optimum up to WHOLE pairs; beyond, the best
    of three pricings is kept.
    """
    order = np.argsort(prompt, kind="stable")
    ordered = prompt[order]
    # reduceat, below, works on runs of an array: each prompt's pairs must lie beside each other.
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    choices = Choices(items.take(order), ordered, starts)
    kept = np.zeros(len(prompt), dtype=bool)
    if len(prompt):
        kept[order] = _choose(choices, preference[order])
    return kept


def one_each(items: BalanceItems, prompt: Ints, preference: NDArray[np.float64]) -> Bools:
    """Which pair of each prompt to keep: as `balance_prompts` does, and of prompts that it drops the most level pair.

    Of those, it is the pair whose lengths lean least to the side on which they are too many.
    """
    kept = balance_prompts(items, prompt, preference)
    left = np.flatnonzero(~np.isin(prompt, prompt[kept]))
    ahead = (items.u - items.v)[left]
    order = np.lexsort((preference[left], np.sign(ahead.sum()) * ahead, prompt[left]))
    first = np.flatnonzero(np.diff(prompt[left][order], prepend=-1))
    kept[left[order[first]]] = True
    return kept


def _choose(choices: Choices, preference: NDArray[np.float64]) -> Bools:
    bound, allowed = _bound(choices)
    best = np.zeros(len(choices.prompt), dtype=bool)
    for length_prices in ((-_STRONGEST, _STRONGEST), (_STRONGEST, _STRONGEST), (-_STRONGEST, -_STRONGEST)):
        value = np.where(allowed, preference, -np.inf)
        chosen = _even(choices, value - _prices(choices, value, length_prices))
        found = np.zeros(len(best), dtype=bool)
        found[chosen[balance(choices.items.take(chosen))]] = True
        if found.sum() < bound:
            found = _improved(choices, found)
        if found.sum() > best.sum():
            best = found
        # As many as the sides allow, or exact by the program: other prices can give no more.
        if best.sum() == bound or len(best) <= WHOLE:
            return best
    return best


def _improved(choices: Choices, kept: Bools) -> Bools:
    """The largest level set that differs from `kept` in some prompts only; in any, where the pairs are few."""
    free = np.ones(len(kept), dtype=bool)
    if len(kept) > WHOLE:
        has_two = np.diff(choices.starts, append=len(kept)) > 1
        some = [np.flatnonzero(has_two)[:_CORE], np.flatnonzero(~choices.any(kept))[:_CORE]]
        free = np.isin(choices.prompt, np.concatenate(some))
    found = kept & ~free
    found[free] = largest_set(choices.items.take(free), choices.prompt[free], choices.items.take(found))
    return found if found.sum() > kept.sum() else kept


def _bound(choices: Choices) -> tuple[int, Bools]:
    """The most pairs that the sides alone allow, and the pairs that may be chosen for it.

    Where prompts that only have one side outnumber those that have another one to offer, the latter must offer it.
    """
    side = choices.items.side
    allowed = np.ones(len(side), dtype=bool)
    total = len(choices.starts)
    for here in (1, -1):
        other = choices.any(side == -here)
        only = ~choices.any(side != here)
        excess = int(only.sum() - other.sum()) - 1
        if excess >= 0:
            allowed &= ~other[choices.prompt] | (side == -here)
            return total - excess, allowed
    return total, allowed


def _prices(choices: Choices, value: NDArray[np.float64], length_prices: tuple[float, float]) -> NDArray[np.float64]:
    """What each pair costs, at the prices that make the chosen pairs level, as far as the bounds let them.

    The prices minimise sum over prompts of max(value - cost), which is convex; its slopes are the sums of the chosen
    pairs' sides and differences.
    """
    side, ahead = choices.items.side.astype(float), (choices.items.u - choices.items.v).astype(float)
    # To the size of the other slope, or the minimiser would move along one price alone.
    ahead /= max(np.abs(ahead).mean(), 1.0)

    def total(prices: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        chosen, highest = choices.best(value - prices[0] * side - prices[1] * ahead)
        scale = len(choices.starts)
        return highest.sum() / scale, np.array([-side[chosen].sum(), -ahead[chosen].sum()]) / scale

    bounds = [(-_STRONGEST, _STRONGEST), length_prices]
    start = np.clip(np.zeros(2), *np.transpose(bounds))
    # Convex but with kinks: near the minimum is good enough, since `_even` and `balance` put right what is left over.
    prices = minimize(total, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return np.asarray(prices[0] * side + prices[1] * ahead)


def _even(choices: Choices, value: NDArray[np.float64]) -> Ints:
    """Each prompt's best pair, but for the prompts that change sides most gladly, as many as make the sides even."""
    chosen, highest = choices.best(value)
    side = choices.items.side
    surplus = int(side[chosen].sum())
    other, instead = choices.best(np.where(side == -np.sign(surplus), value, -np.inf))
    # Infinite where there is nothing to change to, so that such prompts sort last and are cut off.
    regret = np.where(side[chosen] == np.sign(surplus), highest - instead, np.inf)
    flips = np.argsort(regret, kind="stable")[: abs(surplus) // 2]
    flips = flips[np.isfinite(regret[flips])]
    chosen[flips] = other[flips]
    return chosen
