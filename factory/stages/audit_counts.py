"""What an audit's report is made of, counted part by part: of each pair some thirty bytes stay in memory."""

from collections import Counter, defaultdict
from itertools import combinations
from typing import Any

import polars as pl

from factory.schema import ORDERS
from factory.stages.audit_sample import STRATA
from factory.stages.gold import CHOSEN, REJECTED, TIE
from factory.stages.health import Leanings
from factory.statistics.judges import SCORE, judge_columns, scores
from filters.votes import verdicts

SAID = ("pair_id", "judge", "order", "vote", "prompt_tokens", "completion_tokens", "cost", "tries")
"""Columns of judgments that are counted: not the answers."""
DECIDED = ("right", "unsure", "wrong")
INVALID = "invalid"
_VERDICT, _GOLD = pl.Enum([*DECIDED, INVALID]), pl.Enum([CHOSEN, REJECTED, TIE])
_SPENT = ("prompt_tokens", "completion_tokens", "cost")


def measured(pairs: pl.LazyFrame) -> pl.LazyFrame:
    """What is looked at of the pairs: ids, strata, and the lengths of both replies in characters."""
    schema = pairs.collect_schema()
    strata = [pl.col(name) if name in schema else pl.lit(None).alias(name) for name in STRATA]
    return pairs.select("pair_id", "prompt_id", *strata, pl.col("chosen", "rejected").str.len_chars().cast(pl.Int32))


class AuditCounts:
    """The votes of `judge`, and of others for agreement, on pairs that come in parts."""

    def __init__(self, judge: str, gold: pl.DataFrame | None) -> None:
        """`gold` is [pair_id, gold]: chosen, rejected or tie, of those that a person has labelled."""
        self.judge = judge
        self.leanings = Leanings()
        """Of the judge."""
        self.agreed: dict[tuple[str, str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
        """By two judges and `verdicts` or `votes`: how often they gave each two of these."""
        self._gold = pl.DataFrame(schema={"pair_id": pl.String, "gold": pl.String}) if gold is None else gold
        self._judges: set[str] = set()
        self._rows: list[pl.DataFrame] = []
        self._strata: list[pl.DataFrame] = []
        self._spent: list[pl.DataFrame] = []

    def add(self, pairs: pl.DataFrame, judgments: pl.DataFrame) -> None:
        """Count a part: pairs as `measured`, and judgments with all that was said of them; on others they are left."""
        said = judgments.join(pairs.select("pair_id"), on="pair_id", how="semi")
        ruled = verdicts(said).collect()
        self._judges |= set(said["judge"].unique())
        self._compare(said, ruled)
        votes = said.filter(pl.col("judge") == self.judge)
        if votes.height:
            self.leanings.add(votes, pairs)
        self._spent.append(votes.select(requests=pl.col("tries").fill_null(1).sum(), **_slots(), **_sums()))
        its = ruled.filter(pl.col("judge") == self.judge)
        # strict=False: `partial`, a pair that was asked about in one order, is not of the enum, and so becomes invalid.
        verdict = its.select("pair_id", pl.col("verdict").cast(_VERDICT, strict=False))
        rows = pairs.join(verdict, on="pair_id", how="left").with_columns(pl.col("verdict").fill_null(INVALID))
        self._strata.append(rows.group_by(*STRATA, "verdict").len())
        for more in (self._gold, scores(said).with_columns(heard=True)):
            rows = rows.join(more, on="pair_id", how="left")
        self._rows.append(rows.sort("pair_id").select(_narrow(rows)))

    @property
    def judges(self) -> list[str]:
        """Those with votes on these pairs, by name."""
        return sorted(self._judges)

    def first(self, judge: str) -> tuple[bool, str]:
        """What judges are sorted by: the one that audits first, the others by name."""
        return judge != self.judge, judge

    def rows(self) -> pl.DataFrame:
        """A row per pair: prompt (a hash), chosen, rejected (lengths), gap, verdict, gold, heard, and `scores`.

        `heard` says that a judge was asked about it. Within a part rows are sorted by pair.
        """
        # diagonal, as a judge may have votes on some parts alone.
        rows = pl.concat(self._rows, how="diagonal")
        if SCORE + self.judge not in rows.columns:
            rows = rows.with_columns(pl.lit(None, pl.Float64).alias(SCORE + self.judge))
        return rows

    def strata(self) -> pl.DataFrame:
        """[iteration, feature, verdict, len]."""
        return pl.concat(self._strata, how="vertical_relaxed").group_by(*STRATA, "verdict").agg(pl.sum("len"))

    def spent(self) -> dict[str, Any]:
        """Requests, votes that can be read and those for the first slot; tokens and cost, null where none is known."""
        whole = pl.concat(self._spent)
        return whole.select(pl.sum("requests", "read", "first"), **_sums()).row(0, named=True)

    def _compare(self, said: pl.DataFrame, ruled: pl.DataFrame) -> None:
        decided = ruled.filter(pl.col("verdict").is_in(DECIDED)).rename({"verdict": "label"})
        read = said.filter(pl.col("vote").is_not_null()).rename({"vote": "label"})
        for one, two in combinations(sorted(said["judge"].unique(), key=self.first), 2):
            for on, table, keys in (("verdicts", decided, ["pair_id"]), ("votes", read, ["pair_id", "order"])):
                left, right = (table.filter(pl.col("judge") == name).select(*keys, "label") for name in (one, two))
                both = left.join(right, on=keys, suffix="_two").group_by("label", "label_two").len()
                self.agreed[one, two, on].update({(label, other): n for label, other, n in both.iter_rows()})


def _narrow(rows: pl.DataFrame) -> list[pl.Expr | str]:
    return [
        # Eight bytes for thirty-two: only which pairs share a prompt is asked of it.
        pl.col("prompt_id").hash().alias("prompt"),
        pl.col("chosen", "rejected", "verdict"),
        (pl.col("chosen") - pl.col("rejected")).alias("gap"),
        pl.col("gold").cast(_GOLD),
        pl.col("heard").fill_null(value=False),
        *judge_columns(rows),
    ]


def _slots() -> dict[str, pl.Expr]:
    first = (pl.col("order") == ORDERS[0]) == (pl.col("vote") == "chosen")
    return {"read": pl.col("vote").count(), "first": first.sum()}


def _sums() -> dict[str, pl.Expr]:
    """Of what is known; null where nothing is."""
    return {name: pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()) for name in _SPENT}
