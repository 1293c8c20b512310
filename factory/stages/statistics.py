"""Intervals and agreement: pure functions of counts."""

from collections.abc import Mapping
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000


class Interval(NamedTuple):
    """Both ends, or None where nothing was counted."""

    low: float | None
    high: float | None


class Kappa(NamedTuple):
    """How far two raters agree: on `n` items, how often, and how often beyond chance."""

    n: int
    agreement: float | None
    kappa: float | None


def ratio(hits: int, n: int) -> float | None:
    """Share of hits in n; None where there is nothing to divide by."""
    return hits / n if n else None


def wilson(hits: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a share (Wilson 1927): the shares that n draws with `hits` hits do not contradict.

    Both may be fractions, as those of an effective sample size are.
    """
    if n == 0:
        return Interval(None, None)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = hits / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def cluster_bootstrap(
    hits: NDArray[np.int64], totals: NDArray[np.int64], seed: int, resamples: int = RESAMPLES
) -> Interval:
    """Percentile interval of sum(hits) / sum(totals) when whole clusters are drawn again with replacement.

    `hits` and `totals` have shape [clusters]. None for fewer than two clusters, from which nothing can be learnt about
    how clusters differ. Resamples without any total are drawn again.
    """
    clusters = len(totals)
    if clusters < 2 or totals.sum() == 0:
        return Interval(None, None)
    random = np.random.default_rng(seed)
    shares: list[float] = []
    while len(shares) < resamples:
        drawn = random.integers(0, clusters, clusters)
        total = int(totals[drawn].sum())
        if total:
            shares.append(int(hits[drawn].sum()) / total)
    low, high = np.quantile(shares, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))


def cohens_kappa(counts: Mapping[tuple[str, str], int]) -> Kappa:
    """Cohen's kappa from how often raters one and two gave each pair of labels (Cohen 1960): (p_o - p_e) / (1 - p_e).

    None where there is no item, or where chance alone would always agree.
    """
    n = sum(counts.values())
    if n == 0:
        return Kappa(0, None, None)
    labels = {label for pair in counts for label in pair}
    agreed = sum(count for (one, two), count in counts.items() if one == two)
    first = {label: sum(count for (one, _), count in counts.items() if one == label) for label in labels}
    second = {label: sum(count for (_, two), count in counts.items() if two == label) for label in labels}
    by_chance = sum(first[label] * second[label] for label in labels)
    kappa = (n * agreed - by_chance) / (n * n - by_chance) if n * n != by_chance else None
    return Kappa(n, agreed / n, kappa)
