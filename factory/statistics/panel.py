"""What several judges say together: how likely a pair's label is right, by labels where there are some."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.statistics.estimate import FEWEST_LABELS, least_squares
from factory.statistics.judges import Effective, effective_judges, judge_columns

VOTE, CALIBRATED = "vote", "calibrated"


class Combined(NamedTuple):
    """The judges' verdict on each pair."""

    p_right: NDArray[np.float64]
    """Shape [pairs]: above one half the pair is right, below it is not."""
    method: str
    """`vote`: the mean of all judges' votes; `calibrated`: the labels' share, given each judge's score."""


class JudgeVotes(NamedTuple):
    """Several judges' votes on the same pairs."""

    combined: Combined
    effective: Effective


def panel(table: pl.DataFrame) -> JudgeVotes:
    """The judges together; `table` has a row per pair: `scores`, and `right` as 1 or 0 where it is known."""
    judges = judge_columns(table)
    values = table.select(pl.col(judges).fill_null(0.5)).to_numpy()
    return JudgeVotes(combined(values, table["right"].to_numpy()), effective_judges(table, judges))


def combined(scores: NDArray[np.float64], right: NDArray[np.float64]) -> Combined:
    """One verdict from `scores` [pairs, judges] and `right` [pairs]: 1, 0, NaN where not known.

    Least squares on the labels without negative weights, so that a judge which errs more than not is not heard; with
    fewer than 10 labels a judge, or none that is worth hearing, the plain vote. Dawid and Skene's model (1979), which
    needs no labels, was measured and is not used: docs/audit.md.
    """
    known = ~np.isnan(right)
    if known.sum() >= FEWEST_LABELS * scores.shape[1]:
        weights, _ = least_squares(scores[known], right[known])
        if weights.any():
            # Around the labels' share, as the weights were fitted on scores less their mean.
            about = right[known].mean() + (scores - scores[known].mean(axis=0)) @ weights
            return Combined(np.clip(about, 0.0, 1.0), CALIBRATED)
    return Combined(scores.mean(axis=1), VOTE)


def decided(p_right: NDArray[np.float64]) -> Sequence[str]:
    """right, unsure or wrong for each pair."""
    return [("wrong", "unsure", "right")[int(np.sign(p - 0.5)) + 1] for p in p_right]
