"""The numbers that the card and the report are made from, as small frozen models; whatever is not known is None."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from factory.schema import REPLIES
from factory.statistics.shares import CONFIDENCE, normal_quantile, score_interval
from factory.strict import Strict


class Share(Strict):
    """`hits` of `n`, with a 95 % Wilson interval."""

    hits: float
    n: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the Wilson interval."""
        return score_interval(self.value, normal_quantile(CONFIDENCE) ** 2 / self.n)


def share(hits: float, n: int) -> Share | None:
    """A Share, or None where there is nothing to divide by."""
    return Share(hits=hits, n=n) if n else None


class Lengths(Strict):
    """How long the replies of a group of pairs are, in characters."""

    name: str
    pairs: int
    chosen: float
    rejected: float
    longer_chosen: Share | None
    """Pairs whose chosen is the longer one, among those of unequal length."""

    @property
    def gap(self) -> float | None:
        """Difference of the means relative to their average; None for empty replies."""
        middle = (self.chosen + self.rejected) / 2
        return (self.chosen - self.rejected) / middle if middle else None


class Histogram(Strict):
    """Counts of reply lengths in bins of equal width; the last bin holds all that is longer."""

    width: int
    chosen: list[int]
    rejected: list[int]


class PairFacts(Strict):
    """What a table of pairs holds."""

    pairs: int
    prompts: int
    lengths: Lengths
    histogram: Histogram
    by_feature: list[Lengths]
    by_iteration: list[Lengths]
    by_source: list[Lengths]
    policies: dict[str, int]
    tokens: dict[str, float]
    """Mean tokens of each reply, where they were counted."""
    cut: dict[str, int]
    """Replies that ended at the length limit, where that is known."""
    feature_sources: dict[str, int]
    """Pairs by how their feature came about: allocated, drawn, fallback."""


class FunnelStep(Strict, extra="ignore"):
    """One filter: what it kept of what reached it. What else funnel.json says of it is left there."""

    filter: str
    kept: int
    rejected: int
    reasons: dict[str, int] = Field(default_factory=dict)


class FunnelFacts(Strict, extra="ignore"):
    """The filters, in order, as funnel.json has them."""

    input: int
    steps: list[FunnelStep]
    kept: int
    confounds: list[str] = Field(default_factory=list)
    """What of the form of kept replies predicts chosen, a sentence each."""


class Model(Strict):
    """A model that had a part in the data."""

    role: str
    name: str
    license: str | None = None


def scan(path: Path) -> pl.LazyFrame | None:
    """A table of a run folder, None where it is not there (yet)."""
    return pl.scan_parquet(path, glob=False) if path.is_file() else None


def height(table: pl.LazyFrame | None) -> int | None:
    """Rows of such a table."""
    return None if table is None else int(table.select(pl.len()).collect().item())


_NARROW = ("prompt_id", "feature", "iteration", "source", "policy", "feature_source")
BINS = 40


def narrow(pairs: pl.LazyFrame) -> pl.DataFrame:
    """Lengths in characters (`chosen`, `rejected`) and group columns of every pair, without the texts."""
    known = pairs.collect_schema()
    extra = [f"{kind}_{reply}" for kind in ("finish", "tokens") for reply in REPLIES]
    columns = [name for name in (*_NARROW, *extra, "pair_id") if name in known]
    # Under the names of the replies: what counts lengths then reads the same from any table.
    sizes = [pl.col(name).str.len_chars().cast(pl.Int64).alias(name) for name in ("chosen", "rejected")]
    return pairs.select(*columns, *sizes).collect(engine="streaming")


def pair_facts(pairs: pl.LazyFrame) -> PairFacts:
    """The facts of a table of pairs, in one pass over its texts."""
    table = narrow(pairs)
    return PairFacts(
        pairs=table.height,
        prompts=table["prompt_id"].n_unique() if table.height else 0,
        lengths=lengths(table, "all"),
        histogram=histogram(table),
        by_feature=grouped(table, "feature"),
        by_iteration=grouped(table, "iteration"),
        by_source=grouped(table, "source"),
        policies=counts(table, "policy"),
        tokens={reply: float(known.mean()) for reply, known in _known(table, "tokens")},
        cut={reply: int((known == "length").sum()) for reply, known in _known(table, "finish")},
        feature_sources=counts(table, "feature_source"),
    )


def lengths(table: pl.DataFrame, name: str) -> Lengths:
    """Mean lengths and the share of longer chosen replies of a narrow table."""
    # Pairs of equal length count on neither side, as in the length balance.
    unequal = table.filter(pl.col("chosen") != pl.col("rejected"))
    longer = unequal.filter(pl.col("chosen") > pl.col("rejected")).height
    chosen, rejected = (mean or 0.0 for mean in table.select(pl.mean("chosen", "rejected")).row(0))
    return Lengths(
        name=name, pairs=table.height, chosen=chosen, rejected=rejected, longer_chosen=share(longer, unequal.height)
    )


def grouped(table: pl.DataFrame, column: str) -> list[Lengths]:
    """Lengths per value of a column, in the order of the values; pairs without one are left out."""
    parts = table.filter(pl.col(column).is_not_null()).partition_by(column, as_dict=True)
    return [lengths(part, str(key[0])) for key, part in sorted(parts.items(), key=lambda item: item[0])]


def counts(table: pl.DataFrame, column: str) -> dict[str, int]:
    """Rows per value of a column, the most frequent first; rows without a value are left out."""
    if column not in table.columns:
        return {}
    # Then by value, as counts that are equal have no order of their own.
    found = table[column].drop_nulls().value_counts().sort("count", column, descending=[True, False])
    return {str(value): int(n) for value, n in found.iter_rows()}


def histogram(table: pl.DataFrame, width: int | None = None) -> Histogram:
    """Reply lengths in BINS bins that reach the 99th percentile of the longer side, or bins of a given width."""
    step = width or bin_width(table)
    return Histogram(width=step, **{side: _bins(table[side], step) for side in ("chosen", "rejected")})


def bin_width(table: pl.DataFrame) -> int:
    """A round bin width in characters, for which 99 % of the replies fit in BINS bins."""
    # The 99th percentile, as one reply of a megabyte would leave all others in the first bin.
    top = max((float(table[side].quantile(0.99) or 0) for side in ("chosen", "rejected")), default=0.0)
    rounds = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 400, 500)
    return next((width for width in rounds if width * BINS > top), 1000)


def _bins(values: pl.Series, width: int) -> list[int]:
    # Clipped, not cut off: the last bin holds all that is longer.
    slots = (values // width).clip(0, BINS - 1).value_counts()
    found: dict[int, int] = dict(slots.iter_rows())
    return [found.get(slot, 0) for slot in range(BINS)]


def _known(table: pl.DataFrame, kind: str) -> Iterator[tuple[str, Any]]:
    """Each reply with what is known of its `tokens` or its `finish`, where anything is."""
    for reply in REPLIES:
        known = table[f"{kind}_{reply}"].drop_nulls() if f"{kind}_{reply}" in table.columns else ()
        if len(known):
            yield reply, known
