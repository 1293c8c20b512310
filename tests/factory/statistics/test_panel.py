"""Several judges together: what they are worth, and one verdict of all."""

import numpy as np
import polars as pl
import pytest

from factory.schema import ORDERS
from factory.statistics.judges import effective_judges, judge_columns, scores
from factory.statistics.panel import CALIBRATED, VOTE, combined, decided, panel


def judgments(votes: dict[str, list[str]]) -> pl.DataFrame:
    """By judge, a word of two letters a pair: c, r or - (unread) in each order; a blank was not asked."""
    said = {"c": "chosen", "r": "rejected", "-": None}
    rows = [
        (f"p{number:03}", judge, order, said[letter])
        for judge, words in votes.items()
        for number, word in enumerate(words)
        for order, letter in zip(ORDERS, word, strict=True)
        if letter != " "
    ]
    return pl.DataFrame(rows, ["pair_id", "judge", "order", "vote"], orient="row", schema_overrides={"vote": pl.String})


def test_scores_by_hand() -> None:
    """Both for chosen 1; one each, or one unread, in between; nothing readable null; one order alone its vote."""
    table = scores(
        judgments({"pair_id": ["cc", "cr", "rr", "c-", "--", " c"], "right": ["rr", "cc", "cr", "  ", "cc", "r "]})
    )
    assert table["score.pair_id"].to_list() == [1, 0.5, 0, 0.75, None, 1]
    assert table["score.right"].to_list() == [0, 1, 0.5, None, 1, 0]
    assert judge_columns(table) == ["score.pair_id", "score.right"]


def test_effective_judges_by_hand() -> None:
    """Kish: n^2 / the sum of correlations. Copies are 1; errors that go together 0.5 make of two 4 / 3."""
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 2))
    values = (common + own > 0).astype(float)
    correlation = np.corrcoef(values.T)[0, 1]
    table = pl.DataFrame({"score.a": values[:, 0], "score.b": values[:, 1], "right": [1.0] * 4000})
    found = effective_judges(table, ["score.a", "score.b"])
    assert found.judges == pytest.approx(2 / (1 + correlation))
    assert found.measured_on == "errors"
    assert [effective_judges(table.head(n), ["score.a", "score.b"]).measured_on for n in (9, 10)] == ["votes", "errors"]
    copies = table.with_columns(pl.col("score.a").alias("score.b"), pl.col("score.a").alias("score.c"))
    assert effective_judges(copies, ["score.a", "score.b", "score.c"]).judges == pytest.approx(1)
    unlabelled = copies.with_columns(right=pl.lit(None, pl.Float64))
    assert effective_judges(unlabelled, ["score.a", "score.b", "score.c"]) == (pytest.approx(1), "votes")
    constant = copies.with_columns(pl.lit(1.0).alias("score.b"), pl.lit(1.0).alias("score.c"))
    assert effective_judges(constant, ["score.b", "score.c"]).judges == pytest.approx(1)


def test_judges_without_labels_vote() -> None:
    said = scores(judgments({"a": ["cc", "cc", "rr", "cr"], "b": ["cc", "rr", "rr", "cc"]}))
    found = panel(said.with_columns(right=pl.lit(None, pl.Float64)))
    assert found.combined.method == VOTE
    assert list(decided(found.combined.p_right)) == ["right", "unsure", "wrong", "right"]


def test_labels_tell_whom_to_hear() -> None:
    """One judge is right in 85 % of the pairs and two that copy each other in 45 %: these outvote it, until labels."""
    rng = np.random.default_rng(2)
    right = rng.random(400) < 0.5
    good, bad = (np.where(rng.random(400) < share, right, ~right).astype(float) for share in (0.85, 0.45))
    both = np.stack([good, bad, bad], axis=1)
    known = np.where(np.arange(400) < 60, right, np.nan)
    vote, told = combined(both, np.full(400, np.nan)), combined(both, known)
    assert (vote.method, told.method) == (VOTE, CALIBRATED)
    rate = lambda p: np.mean((p > 0.5) == right)  # noqa: E731
    assert rate(told.p_right) >= 0.8
    assert rate(vote.p_right) <= 0.6
    assert told.p_right.min() >= 0
    assert told.p_right.max() <= 1
    assert combined(both, np.where(np.arange(400) < 29, right, np.nan)).method == VOTE, "too few labels for three"
    assert combined(both, np.where(np.arange(400) < 30, right, np.nan)).method == CALIBRATED
    assert combined(1 - both[:, :1], known).method == VOTE, "a judge that errs more than not is not worth hearing"
