"""How often a reward model prefers the right reply: counts, their interval, and weighted means of such shares."""

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from factory.statistics.shares import (
    CONFIDENCE,
    RESAMPLES,
    Interval,
    cluster_worth,
    normal_quantile,
    ratio,
    student_quantile,
    wilson,
)

_ROUNDING = 1e-9


class GroupAccuracy(NamedTuple):
    """Pairs of one group, by who got the higher score."""

    n: int
    """Pairs with both scores."""
    wins: int
    ties: int
    losses: int
    missing: int
    """Pairs without a score on one side or both; they are no part of n."""
    accuracy: float | None
    """wins / n: a tie is no win. None where n is 0."""
    low: float | None
    """Wilson's 95 % interval of the accuracy, of as many pairs as these are worth."""
    high: float | None


class WeightedMean(NamedTuple):
    """A weighted mean of accuracies."""

    score: float | None = None
    low: float | None = None
    high: float | None = None


class Weighted(NamedTuple):
    """A share of `n` trials and its weight in a mean."""

    share: float
    n: float
    weight: float


Scores = Sequence[tuple[float | None, float | None]]
"""Of chosen and rejected."""


def tally(scores: Scores, prompts: Sequence[str] = (), seed: int = 0) -> GroupAccuracy:
    """Count (chosen, rejected) scores; a pair is won when the chosen reply scores strictly higher.

    `prompts` names the prompt of each, where pairs may share one; `seed` is of `cluster_worth`.
    """
    wins = ties = losses = missing = 0
    for chosen, rejected in scores:
        if chosen is None or rejected is None:
            missing += 1
        elif chosen > rejected:
            wins += 1
        elif chosen == rejected:
            ties += 1
        else:
            losses += 1
    n = wins + ties + losses
    worth = independent(scores, prompts, seed)
    ends = wilson(wins * worth / n, worth) if n else wilson(0, 0)
    return GroupAccuracy(n, wins, ties, losses, missing, ratio(wins, n), *ends)


def independent(scores: Scores, prompts: Sequence[str], seed: int) -> float:
    """How many pairs those with both scores are worth: as many, unless pairs of one prompt are won or lost together."""
    known = [(chosen > rejected, place) for place, (chosen, rejected) in enumerate(scores)
             if chosen is not None and rejected is not None]  # fmt: skip
    counts: dict[str, list[int]] = {}
    for won, place in known:
        of_prompt = counts.setdefault(prompts[place] if prompts else str(place), [0, 0])
        of_prompt[0] += won
        of_prompt[1] += 1
    hits, totals = np.array(list(counts.values()), dtype=np.int64).reshape(-1, 2).T
    return cluster_worth(hits, totals, seed) or len(known)


def mean(parts: Sequence[Weighted]) -> WeightedMean:
    """The weighted mean of shares, with a Wilson interval at its effective sample size; None where there is no part.

    The effective size is Kish's, (sum of weights)^2 / sum of squared weights over all trials (Kish 1965): with weights
    proportional to n it is the number of trials. Where the groups' own variances make it less, it is that.
    """
    if not parts:
        return WeightedMean()
    # fsum, so that the order of the subsets changes nothing.
    total = fsum(part.weight for part in parts)
    score = fsum(part.weight * part.share for part in parts) / total
    effective = total**2 / fsum(part.weight**2 / part.n for part in parts)
    # That is of trials that are all alike. A small group which is a coin, beside large ones that are not, varies more
    # than the mean of all tells.
    variance = fsum((part.weight / total) ** 2 * part.share * (1 - part.share) / part.n for part in parts)
    if variance:
        effective = min(effective, score * (1 - score) / variance)
    return WeightedMean(score, *wilson(score * effective, effective))


def resampled(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Means of bootstrap samples of `values`, [RESAMPLES]."""
    means: NDArray[np.float64] = values[random.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    return means


def resampled_part(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """As `resampled`, of one of several groups that a mean is taken of, with the spread of a 0 and a 1 more.

    Without these (Agresti and Caffo 2000) a group of a few prompts that went alike, or of one, would count as certain.
    """
    more = np.append(values, (0.0, 1.0))
    drawn = more[random.integers(0, len(more), (RESAMPLES, len(values)))]
    means: NDArray[np.float64] = drawn.mean(axis=1) - more.mean() + values.mean()
    return means


def bootstrapped(share: float, values: NDArray[np.float64], trials: int) -> Interval:
    """The 95 % interval of a share by its bootstrap: Wilson's, of as many trials as the variance of `values` says.

    `trials` is how many it rests on; of a few the variance is not well known, and Student's quantile takes the normal
    one's place. Percentiles would be a single point where all trials went well, and of a few of them never reach far
    enough; they are taken of what is no share between 0 and 1.
    """
    if not 0 <= share <= 1:
        return percentiles(values)
    freedom = max(trials - 1, 1)
    wider = student_quantile(CONFIDENCE, freedom) / normal_quantile(CONFIDENCE)
    # Resamples vary less than samples, by that many parts.
    variance = float(values.var()) * trials / freedom * wider**2
    # Means of what is all alike may differ by what rounding leaves of them.
    varies = 0 < share < 1 and float(np.ptp(values)) > _ROUNDING
    worth = share * (1 - share) / variance if varies else float(trials)
    return wilson(share * worth, worth)


def percentiles(values: NDArray[np.float64]) -> Interval:
    """The middle 95 % of a bootstrap's values."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))
