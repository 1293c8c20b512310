"""Pairs for filter tests, and one filter applied to them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.schema import JUDGMENTS, REJECTED, SCORES, LazySplit, conform
from filters import build
from filters.decisions import Step
from filters.funnel import apply
from tests.pairs import pair, user


class Outcome(NamedTuple):
    """What a filter did: (reason, detail) by the pair's tag, None for a kept pair; and the two tables."""

    reasons: dict[str, str | None]
    details: dict[str, str | None]
    kept: pl.DataFrame
    rejected: pl.DataFrame
    step: Step


def row(
    tag: str, prompt: str = "question", chosen: str = "good", rejected: str = "bad", **columns: Any
) -> dict[str, Any]:
    """A pair that `tag` tells from others; the tag is no part of its ids."""
    return {**pair([user(prompt)], chosen, rejected), "tag": tag, **columns}


def table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    return conform(pl.DataFrame(list(rows), schema_overrides=_known(rows), infer_schema_length=None), SCORES)


def _known(rows: Sequence[dict[str, Any]]) -> dict[str, pl.DataType]:
    used = {name for one in rows for name in one}
    return {name: dtype for name, dtype in SCORES.dtypes.items() if name in used}


def lazily(pairs: pl.DataFrame) -> LazySplit:
    """As if read without a bad row."""
    return LazySplit(pairs.lazy(), REJECTED.empty().lazy())


def run(block: dict[str, Any], pairs: pl.DataFrame, judgments: pl.DataFrame | None = None) -> Outcome:
    """One filter over a table whose rows have tags."""
    found = apply(lazily(pairs), build([block]), judgments)
    kept, rejected = found.kept.collect(), found.rejected.collect()
    assert kept.height + rejected.height == pairs.height
    none = dict.fromkeys(kept["tag"])
    reasons = dict(rejected.select("tag", "reason").iter_rows())
    return Outcome(
        {**none, **reasons},
        {**none, **dict(rejected.select("tag", "detail").iter_rows())},
        kept,
        rejected,
        found.funnel.steps[0],
    )


def votes(*rows: tuple[str, str, str, str | None], p_chosen: Sequence[float | None] | None = None) -> pl.DataFrame:
    """Judgments from (pair_id, judge, order, vote)."""
    frame = pl.DataFrame(rows, schema=["pair_id", "judge", "order", "vote"], orient="row", infer_schema_length=None)
    if p_chosen is not None:
        frame = frame.with_columns(p_chosen=pl.Series(p_chosen, dtype=pl.Float64))
    dtypes = {name: JUDGMENTS.dtypes[name] for name in frame.columns}
    return conform(frame.cast(dtypes), JUDGMENTS)
