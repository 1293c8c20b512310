"""`estimate`: the share of right labels among judged pairs, from votes and a person's labels on some of them."""

from typing import Any

import polars as pl

from factory.errors import InputError
from factory.readers.inputs.sources import PairsLike, open_inputs
from factory.stages.gold import as_right, as_text, from_answers, require_filled, right
from factory.statistics.estimate import Estimate
from factory.statistics.estimate import estimate as estimated
from factory.statistics.shares import CONFIDENCE
from filters.votes import require_known

_VOTES = ("pair_id", "judge", "order", "vote")


def estimate(judgments: Any, gold: Any = None, *, confidence: float = CONFIDENCE) -> Estimate:
    """The share of pairs whose label is right, among all pairs in `judgments`, with an interval that covers it.

    `judgments`: pair_id, judge, order (chosen_first, rejected_first), vote (chosen, rejected or null), of any number of
    judges, in one order or both, as `judgments.parquet`. `gold`: pair_id and right (true or false; a null is no label)
    for a uniform random part of these pairs, or people's answers as `review` writes them, a tie not being right;
    labels of other pairs are left out. Both are frames or paths. Without gold the share is one of agreement with the
    judges, which is no accuracy, and `method` says so.

    The regression estimator of survey sampling (Cochran 1977, chapter 7), as in prediction-powered inference (PPI++,
    Angelopoulos, Duchi and Zrnic 2023), its labels counted for what the judges make them worth in Wilson's interval
    (1927), with Student's quantile and the correction for a finite population; where that is no narrower than the
    interval of the labels alone (with the ends of Brown, Cai and DasGupta 2001), that one. With every pair labelled
    both ends are the share itself. docs/audit.md has the measured coverage. InputError for a missing column, for a row
    without a pair, a judge or an order, and for a vote or a label that is none.
    """
    votes = _named(_frame(judgments), "judgments", _VOTES)
    require_known(votes, "judgments")
    return estimated(votes, None if gold is None else _gold(gold), confidence)


def _frame(given: Any) -> pl.LazyFrame:
    """A frame or file of any kind."""
    if isinstance(given, pl.DataFrame | pl.LazyFrame):
        return given.lazy()
    inputs: PairsLike = given
    return pl.concat([frame for opened in open_inputs(inputs) for frame in opened.frames], how="diagonal_relaxed")


def _named(rows: pl.LazyFrame, what: str, columns: tuple[str, ...]) -> pl.DataFrame:
    """These columns of it as text, all there; the last alone may have empty cells."""
    missing = [name for name in columns if name not in rows.collect_schema()]
    if missing:
        raise InputError(f"{what}: there is no column {missing[0]}; it takes {', '.join(columns)}")
    table = rows.select(pl.col(columns)).collect()
    texts = table.with_columns(as_text(table[name], f"{what}: the column {name}") for name in columns)
    require_filled(texts, columns[:-1], what)
    return texts


def _gold(given: Any) -> pl.DataFrame:
    """[pair_id, right], one row a pair, right as 1 or 0: as it is given, or of people's answers."""
    rows = _frame(given)
    columns = rows.collect_schema().names()
    # A file of `review` has both, and its `label` knows ties and what was skipped, of which `right` tells less.
    if "label" in columns and ("annotator" in columns or "right" not in columns):
        return right(from_answers(rows.collect(), "gold"))
    return _labels(_named(rows, "gold", ("pair_id", "right")))


def _labels(gold: pl.DataFrame) -> pl.DataFrame:
    """One label a pair. InputError for what is none, and for two that contradict each other."""
    said = as_right(gold["right"], "gold: the column right")
    each = gold.select("pair_id", right=said.cast(pl.Float64)).drop_nulls().unique()
    twice = each.filter(pl.col("pair_id").is_duplicated())
    if twice.height:
        raise InputError(f"gold: {twice['pair_id'][0]} is right in one row and not in another; give one label a pair")
    return each
