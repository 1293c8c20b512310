"""Statistics of benchmarks/mechanism.py: measures of a cell, paired by seed and triple, and tests over seeds."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Cell = Mapping[str, Any]
DRAWS = 10_000
ALPHA = 0.66
"""Share of the chosen reply in P, the same for all arms."""
CONTRASTS = (("sso", "sso_no_g", ("S",)), ("sso", "sso_no_w", ("P",)), ("sso", "pbaa", ("S", "P")))
"""The primary endpoint: what is compared, and the measures in all of which the first must be ahead."""


class Estimate(NamedTuple):
    """A mean over seeds and triples with its 95 % bootstrap interval, and the p of the sign-flip test over seeds."""

    mean: float
    low: float
    high: float
    p: float
    seeds: int


def measures(cell: Cell, reference: Mapping[str, Sequence[float]]) -> dict[str, Numbers]:
    """Each measure of a cell, [triples]: how far pi~ and the margins h have moved from the start policy."""
    moved = {name: np.array(cell["logps"][name]) - np.array(reference[name]) for name in reference}

    def h(view: str, first: str, second: str) -> Numbers:
        return moved[f"logp_{first}_{view}"] - moved[f"logp_{second}_{view}"]

    good, bad = h("good", "chosen", "rejected"), h("bad", "original", "chosen")
    chosen, rejected = moved["logp_chosen_plain"], moved["logp_rejected_plain"]
    return {
        "S": (good + bad) / 2,
        "P": ALPHA * chosen + (1 - ALPHA) * rejected,
        "M": chosen - rejected,
        "good": good,
        "bad": bad,
        "naive": h("bad", "rejected", "chosen"),
        "chosen": chosen,
        "rejected": rejected,
    }


def by_seed(
    cells: Sequence[Cell], reference: Mapping[str, Sequence[float]], arm: str, measure: str
) -> dict[int, Numbers]:
    """The measure of an arm, [triples], by seed; `cells` are those of one iteration."""
    return {cell["seed"]: measures(cell, reference)[measure] for cell in cells if cell["arm"] == arm}


def estimate(values: Numbers) -> Estimate:
    """Of values [seeds, triples]; both are drawn again, crossed, since all seeds are measured on the same triples."""
    random = np.random.default_rng(0)
    seeds, triples = values.shape
    if seeds < 2:
        return Estimate(float(values.mean()), float("nan"), float("nan"), float("nan"), seeds)
    weights = [random.multinomial(size, np.full(size, 1 / size), DRAWS) / size for size in (seeds, triples)]
    means = np.einsum("ds,st,dt->d", weights[0], values, weights[1], optimize=True)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high), sign_flip(values.mean(axis=1)), seeds)


def sign_flip(means: Numbers) -> float:
    """Two-sided p: the share of all sign patterns under which the mean over seeds is as far from 0 as seen."""
    signs = np.array(list(product((1, -1), repeat=len(means))))
    flipped = np.abs(signs @ means)
    return float(np.mean(flipped >= abs(means.sum()) * (1 - 1e-9)))


def difference(
    cells: Sequence[Cell], reference: Mapping[str, Sequence[float]], first: str, second: str, measure: str
) -> Estimate:
    """The measure under `first` less that under `second`, over the seeds that both have."""
    one, other = (by_seed(cells, reference, arm, measure) for arm in (first, second))
    return estimate(np.stack([one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())]))


def holm(values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given."""
    adjusted, worst = [0.0] * len(values), 0.0
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        worst = max(worst, min(1.0, values[index] * (len(values) - place)))
        adjusted[index] = worst
    return adjusted
