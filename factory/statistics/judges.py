"""Several judges: what each says of a pair as one score, and how many independent ones they are worth."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filters.votes import judges_of

ERRORS, VOTES = "errors", "votes"
SCORE = "score."
"""What the names of score columns begin with, so that no judge's name is taken for another column's."""

FEWEST_ERRORS = 10
"""With fewer labelled pairs, nothing is said from errors."""


class Effective(NamedTuple):
    """How many independent judges these are worth."""

    judges: float
    measured_on: str
    """`errors` against labels, or `votes`: judges that are right agree too, so that from votes it is a lower bound."""


def scores(judgments: pl.DataFrame) -> pl.DataFrame:
    """[pair_id, a column per judge]: 1 for votes for chosen, 0 for rejected, null where it said nothing readable.

    The mean over the orders that were asked, an unreadable answer beside a readable one counting one half.
    """
    names = judges_of(judgments)
    vote = pl.when(pl.col("vote") == "chosen").then(1.0).when(pl.col("vote") == "rejected").then(0.0)
    by_order = judgments.group_by("pair_id", "judge", "order").agg(score=vote.mean())
    each = []
    for name in names:
        # All judges in one group_by: a column each, whatever pairs they were asked about.
        its = pl.col("score").filter(pl.col("judge") == name)
        each.append(pl.when(its.is_not_null().any()).then(its.fill_null(0.5).mean()).alias(SCORE + name))
    return by_order.group_by("pair_id").agg(each).sort("pair_id")


def judge_columns(table: pl.DataFrame) -> list[str]:
    """The columns of `scores` that hold a judge's."""
    return [name for name in table.columns if name.startswith(SCORE)]


def effective_judges(table: pl.DataFrame, judges: Sequence[str]) -> Effective:
    """Kish's effective number: judges^2 / the sum of their correlations (Kish 1965), between 1 and their number.

    `table` holds `scores` and, where known, `right` (1 or 0).
    """
    labelled = table.filter(pl.col("right").is_not_null())
    on_errors = labelled.height >= FEWEST_ERRORS
    rows = labelled if on_errors else table
    values = rows.select(pl.col(judges).fill_null(0.5)).to_numpy()
    if on_errors:
        values = np.abs(values - rows["right"].to_numpy()[:, None])
    together = float(_correlations(values).sum()) if values.size else float(len(judges) ** 2)
    # Judges of opposite minds would be worth more than there are of them: their correlations add up to nothing.
    found = len(judges) ** 2 / together if together > 0 else float(len(judges))
    return Effective(min(max(found, 1.0), float(len(judges))), ERRORS if on_errors else VOTES)


def _correlations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlations of columns; of a column without variance, 1 with its copies and 0 with all others."""
    centred = values - values.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    flat = length < 1e-12
    unit = centred / np.where(flat, 1.0, length)
    found = unit.T @ unit
    same = (values[:, :, None] == values[:, None, :]).all(axis=0)
    made: NDArray[np.float64] = np.where(flat[:, None] | flat[None, :], same.astype(np.float64), found)
    return made
