"""Statistics of benchmarks/mechanism.py: measures of a cell, paired by seed and triple, and tests over seeds."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Numbers = NDArray[np.float64]
Cell = Mapping[str, Any]
DRAWS = 200_000
"""So many, since with 10,000 it is chance on which side of 0 an end lies that is nearly there."""
ALPHA = 0.66
"""Share of the chosen reply in P, the same for all arms."""
CONTRASTS = (("sso", "sso_no_g", ("S",)), ("sso", "sso_no_w", ("P",)), ("sso", "pbaa", ("S", "P")))
"""The primary endpoint: what is compared, and the measures in all of which the first must be ahead."""
AT_GAMMA_1 = (
    (("gamma_1", "pbaa", ("S", "P")),),
    (("gamma_1", "sso_no_g", ("S",)), ("gamma_1", "no_w_gamma_1", ("P",))),
)
"""Where `sso` was trained at gamma 1 alone: the primary endpoint, then which term does it, each with its own Holm."""


class Estimate(NamedTuple):
    """A mean over seeds and triples with its 95 % bootstrap interval, and the p of the sign-flip test over seeds."""

    mean: float
    low: float
    high: float
    p: float
    seeds: int
    above: int
    """Seeds whose own mean is above 0."""


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
    seeds, triples = values.shape
    own = values.mean(axis=1)
    mean, above = float(values.mean()), int((own > 0).sum())
    if seeds < 2:
        return Estimate(mean, float("nan"), float("nan"), float("nan"), seeds, above)
    drawn = (weights("seeds", seeds) @ values.astype(np.float32) * weights("triples", triples)).sum(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(mean, float(low), float(high), sign_flip(own), seeds, above)


def over_seeds(values: Sequence[float]) -> Estimate:
    """Of one value a seed, with Student's interval: of so few the bootstrap's is too narrow."""
    own = np.array(values)
    mean, above, seeds = float(own.mean()), int((own > 0).sum()), len(own)
    if seeds < 2:
        return Estimate(mean, float("nan"), float("nan"), float("nan"), seeds, above)
    reach = float(student.ppf(0.975, seeds - 1) * own.std(ddof=1) / np.sqrt(seeds))
    return Estimate(mean, mean - reach, mean + reach, sign_flip(own), seeds, above)


@cache
def weights(what: str, size: int) -> NDArray[np.float32]:
    """How often each of `size` is drawn in each of the draws, over `size`: the same for every estimate."""
    random = np.random.default_rng([size, len(what)])
    return (random.multinomial(size, np.full(size, 1 / size), DRAWS) / size).astype(np.float32)


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
