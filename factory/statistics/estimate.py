"""How many pairs are right: a judge's votes on all of them, and a person's labels on a random part, in one interval.

The estimate is the regression estimator of survey sampling (Cochran, Sampling Techniques, 1977, chapter 7), which
prediction-powered inference with a fitted weight is as well (PPI++: Angelopoulos, Duchi and Zrnic, 2023): the labels'
share, plus weight x (the judge's mean score over all pairs - its mean score over the labelled ones). What the score
explains of the labels' variance makes them count for more; that number of labels goes into Wilson's interval (1927),
with Student's quantile, so that few labels, and shares near 1, are not taken for more than they are. Where judges add
nothing, the labels have Wilson's interval of a share among a finite number of pairs.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.errors import InputError
from factory.statistics.judges import effective_judges, judge_columns, scores
from factory.statistics.shares import CONFIDENCE, finite_interval, normal_quantile, score_interval, student_quantile
from filters.votes import verdicts

AGREEMENT, LABELS, ASSISTED = "agreement", "labels", "prediction_powered"
"""Methods: no label was given; labels alone, the judges adding nothing; judges and labels."""

IN_BOTH = "in both orders"
"""The column of the mean verdict of the judges that a pair was read by in both orders, as `verdict_score`."""
FEWEST_LABELS = 10
"""With fewer, nothing can be learnt about a judge; and each further judge's weight takes so many more."""
_FOLDS = 10
"""Parts of the labels, each of which is held against weights fitted without it, where there are several weights."""


class Estimate(NamedTuple):
    """The share of pairs whose label is right, among all `n` that were judged."""

    accuracy: float | None
    """The share; under `agreement` the share of pairs that the judges prefer as labelled, which is no accuracy."""
    low: float | None
    """The interval has both ends at `confidence`; None where nothing was counted."""
    high: float | None
    method: str
    """`agreement` without labels, `labels` where the judges add nothing to them, else `prediction_powered`."""
    n: int
    """Pairs in the judgments."""
    n_gold: int
    """Those of them with a person's label."""
    worth: int
    """How many more labels alone would give the same interval: what the judges are worth."""
    needed: int | None
    """How many labels more would halve the interval; None without any."""
    effective_judges: float
    """Independent judges that these are worth (Kish): 1.00 for copies of one."""
    effective_from: str
    """What that rests on: `errors` on labelled pairs, or `votes` where there are too few (then it is a lower bound)."""


class Fit(NamedTuple):
    """The share of right labels with all that its interval needs."""

    share: float
    spread: float
    """Square of the quantile over the effective number of labels: all of Wilson's interval but the share."""
    unexplained: float
    """Share of the labels' variance that the scores leave, corrected for fitting."""
    weights: int
    """Number of fitted weights; 0 where the judges are not used."""
    low: float
    high: float


def estimate(judgments: pl.DataFrame, gold: pl.DataFrame | None, confidence: float = CONFIDENCE) -> Estimate:
    """See `factory.estimate`; `gold` is [pair_id, right], one row a pair, right as 1 or 0."""
    if gold is None:
        gold = pl.DataFrame(schema={"pair_id": pl.String, "right": pl.Float64})
    said = verdicts(judgments).group_by("pair_id").agg(verdict_score(pl.col("verdict")).mean().alias(IN_BOTH)).collect()
    table = scores(judgments)
    for more in (said, gold):
        table = table.join(more, on="pair_id", how="left", maintain_order="left")
    if gold.height and not table["right"].count():
        raise InputError("gold: none of its pairs is in the judgments; label pairs that were judged")
    return estimate_from(table, confidence)


def verdict_score(verdict: pl.Expr) -> pl.Expr:
    """A judge's verdict as what it says of the pair: 1 right, 0 wrong; null where it was not read in both orders."""
    return verdict.replace_strict({"right": 1.0, "unsure": 0.5, "wrong": 0.0}, default=None, return_dtype=pl.Float64)


def estimate_from(table: pl.DataFrame, confidence: float = CONFIDENCE, pairs: int | None = None) -> Estimate:
    """`estimate`, from a row per pair: a column of `scores` per judge, the mean of their verdicts, and `right`.

    `pairs` is how many there are where those of the table are a random part of them; None: there are no others.
    """
    judges = judge_columns(table)
    n, m = table.height, table["right"].count()
    pairs = max(n, pairs or n)
    effective = effective_judges(table, judges)
    if not m:
        return Estimate(*_agreement(table, confidence), AGREEMENT, n, 0, 0, None, *effective)
    right = table["right"].to_numpy()
    found = fit(table.select(pl.col(judges).fill_null(0.5)).to_numpy(), right, confidence, pairs)
    return Estimate(
        accuracy=found.share,
        low=found.low,
        high=found.high,
        method=ASSISTED if found.weights else LABELS,
        n=n,
        n_gold=m,
        worth=_worth(found.spread, pairs, m, confidence) if found.weights else 0,
        needed=_needed(found, n, m, confidence, pairs),
        effective_judges=effective.judges,
        effective_from=effective.measured_on,
    )


def _agreement(table: pl.DataFrame, confidence: float) -> tuple[float | None, float | None, float | None]:
    """Share and interval of the pairs that more votes are for than against, of those read in both orders.

    Of single votes, where no pair was asked in both.
    """
    score = table[IN_BOTH].drop_nulls()
    if not len(score) and table.height:
        score = table.select(pl.mean_horizontal(judge_columns(table)))[:, 0].drop_nulls()
    if not len(score):
        return None, None, None
    # More for than against; a pair on which judges are even is none of those.
    share = int((score > 0.5).sum()) / len(score)
    return share, *score_interval(share, normal_quantile(confidence) ** 2 / len(score))


def fit(
    scores: NDArray[np.float64], right: NDArray[np.float64], confidence: float = CONFIDENCE, pairs: int | None = None
) -> Fit:
    """The share of right labels among n pairs from `scores` [n, judges] and `right` [n]: 1, 0, NaN where not known.

    The judges' scores with weights fitted on the labels, or the labels alone where that gives less. At least one label.
    Where the n are a random part of `pairs`, the share is that of all of these.
    """
    known = ~np.isnan(right)
    labels = right[known]
    n, m, pairs = len(known), len(labels), pairs or len(known)
    alone = _spread(1.0, m, n, pairs, None, confidence)
    share, spread, unexplained, weights = float(labels.mean()), alone, 1.0, 0
    low, high = finite_interval(int(labels.sum()), m, pairs, confidence)
    assisted = _assisted(_predictors(scores, m), known, labels, confidence, pairs) if 0 < share < 1 else None
    worth = _worth(assisted[1], pairs, m, confidence) if assisted else 0
    if assisted and worth and _width(*assisted[:2]) < _width(share, spread):
        share, spread, unexplained, weights = assisted
        ends = score_interval(share, spread)
        least = float(labels.sum()) / pairs  # the labels that are known bound what can be
        low, high = max(ends.low, least), min(ends.high, least + (pairs - m) / pairs)
    return Fit(min(max(share, low), high), spread, unexplained, weights, low, high)


def _spread(unexplained: float, m: int, n: int, pairs: int, freedom: int | None, confidence: float) -> float:
    """Squared quantile over the labels' effective number: m of n pairs labelled, the n drawn out of `pairs`.

    1/m - 1/n, not 1/m: pairs are drawn without replacement, and once all are labelled nothing is uncertain. What judges
    explain is uncertain only by the pairs that they were not asked about. `freedom` is the residuals'; None: no judge.
    """
    n = max(n, m)
    quantile = normal_quantile(confidence) if freedom is None else student_quantile(confidence, freedom)
    return quantile**2 * unexplained * (1 / m - 1 / n) + normal_quantile(confidence) ** 2 * (1 / n - 1 / pairs)


def _assisted(
    scores: NDArray[np.float64], known: NDArray[np.bool_], labels: NDArray[np.float64], confidence: float, pairs: int
) -> tuple[float, float, float, int] | None:
    """Share, spread, unexplained and weights with the judges; None where they have nothing to say."""
    n, m = len(known), len(labels)
    weights, rank = least_squares(scores[known], labels)
    if not weights.any():
        return None
    heard = scores[known]
    off = labels - (_left_out(heard, labels) if rank > 1 else heard @ weights)
    # Few errors of a judge, or none, are no evidence that it makes none: as Wilson's interval does for a share, half
    # the squared quantile is the least that is left unexplained.
    left = max(float(((off - off.mean()) ** 2).sum()), normal_quantile(confidence) ** 2 / 2)
    freedom = m - 1 - rank
    unexplained = left / float(((labels - labels.mean()) ** 2).sum()) * (m - 1) / freedom
    spread = _spread(unexplained, m, n, pairs, freedom, confidence)
    share = float(labels.mean() + (scores.mean(axis=0) - heard.mean(axis=0)) @ weights)
    return min(max(share, 0.0), 1.0), spread, unexplained, rank


def _left_out(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the judges say of each labelled pair, by weights that it had no part in; `scores` are those of these pairs.

    Cross-prediction (Zrnic and Candes 2024). Several weights fitted on few errors make these look fewer: with three
    judges the interval of the fitted residuals held the truth in 90 % of draws instead of 95.
    """
    folds = np.arange(len(labels)) % _FOLDS
    said = np.empty(len(labels))
    for fold in range(_FOLDS):
        held_out = folds == fold
        said[held_out] = scores[held_out] @ least_squares(scores[~held_out], labels[~held_out])[0]
    return said


def _predictors(scores: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """A judge each, the mean of all where labels are too few for that, none where they are too few for anything."""
    if m < FEWEST_LABELS:
        return scores[:, :0]
    return scores if scores.shape[1] <= m // FEWEST_LABELS else scores.mean(axis=1, keepdims=True)


def least_squares(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Least-squares weights without negative ones, and how many were free. A judge that errs more than not is out."""
    used = list(range(scores.shape[1]))
    centred, aim = scores - scores.mean(axis=0), labels - labels.mean()
    weights = np.zeros(scores.shape[1])
    while used:
        found, _, rank, _ = np.linalg.lstsq(centred[:, used], aim, rcond=None)
        if found.min() >= 0:
            weights[used] = found
            return weights, int(rank)
        # The most negative goes, and the rest is fitted anew: weights that were set to 0 in place would be no least
        # squares.
        used.pop(int(found.argmin()))
    return weights, 0


def _worth(spread: float, pairs: int, m: int, confidence: float) -> int:
    """Labels alone whose interval is as wide, less those there are."""
    return max(0, round(1 / (spread / normal_quantile(confidence) ** 2 + 1 / pairs)) - m)


def _needed(found: Fit, n: int, m: int, confidence: float, pairs: int) -> int:
    """The fewest further labels with which the interval is half as wide, share and judges staying as they are."""
    aim = _width(found.share, found.spread) / 2
    least, most = m, pairs
    while least < most:
        middle = (least + most) // 2
        freedom = middle - 1 - found.weights if found.weights else None
        if _width(found.share, _spread(found.unexplained, middle, n, pairs, freedom, confidence)) <= aim:
            most = middle
        else:
            least = middle + 1
    return least - m


def _width(share: float, spread: float) -> float:
    low, high = score_interval(share, spread)
    return high - low
