"""How good the kept pairs are by the judges that filtered them: a random sample of them, asked in both orders."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.schema import JUDGMENTS, ORDERS
from factory.stages.health import Health, sizes, warnings
from factory.stages.judge import JudgeWithEngine, Question, ask, by_id
from factory.statistics.shares import ratio, wilson
from factory.strict import Strict
from filters.hash_draw import hash_draw_expr
from filters.votes import verdicts


class KeptAgreement(Strict):
    """What one judge says of sampled kept pairs, each asked in both orders."""

    judge: str
    sampled: int
    """Pairs drawn; `n` of them have two readable votes."""
    n: int
    right: int
    unsure: int
    wrong: int
    agreement: float | None
    """right / n: agreement with this judge, which is not accuracy: it may be wrong itself."""
    low: float | None
    """95 % Wilson interval of right / n."""
    high: float | None

    @property
    def line(self) -> str:
        """One sentence."""
        if not self.n:
            return f"{self.judge} gave no verdict on the kept pairs that was asked for, and can be read, in both orders"
        share, low, high = (
            f"{100 * value:.1f} %" for value in (self.right / self.n, self.low or 0.0, self.high or 0.0)
        )
        unread = f", {self.sampled - self.n:,} unreadable beside them" if self.sampled > self.n else ""
        return (
            f"{self.judge} agrees with {share} of them (95 % interval {low} to {high}; {self.n:,} judged in both "
            f"orders: {self.right:,} right, {self.unsure:,} unsure, {self.wrong:,} wrong{unread})"
        )


class Quality(Strict):
    """The kept pairs, and what judges say of them."""

    kept: int
    once: int
    """Kept pairs that rested on a single vote of some judge before the sample was drawn."""
    unequal: int
    longer_chosen: int
    """Kept pairs of unequal length, and those of them whose chosen is the longer reply."""
    judges: list[KeptAgreement]

    @property
    def lines(self) -> list[str]:
        """What a result opens with."""
        once = f", {self.once:,} of them on one vote" if self.once else ""
        longer = ratio(self.longer_chosen, self.unequal)
        longer_said = "" if longer is None else f"; chosen is the longer reply in {100 * longer:.1f} %"
        return [f"{self.kept:,} pairs kept{once}{longer_said}", *(judge.line for judge in self.judges)]


class Known(Strict):
    """What the votes say of the pairs that `judge_agrees` kept."""

    kept: int
    right: int
    """Called right by every judge in both orders."""
    unsure: int
    """Some judge's verdict turned with the order: it could not know."""
    once: int
    """The others: some judge was asked in one order alone."""

    @property
    def line(self) -> str:
        """One sentence."""
        return (
            f"of the {self.kept:,} pairs that judge_agrees kept, {self.right:,} are right in both orders, "
            f"{self.unsure:,} could not be known (the verdict turned with the order) and {self.once:,} were asked once"
        )


class Judged(NamedTuple):
    """Kept pairs after their sample was judged."""

    quality: Quality
    further: pl.DataFrame
    """JUDGMENTS that were asked for to know it."""


class Opening(NamedTuple):
    """What a result opens with, in sentences."""

    warnings: list[str]
    """What must be known before any number is believed."""
    lines: list[str]


def opening(more: Mapping[str, Any]) -> Opening:
    """The opening of a funnel, from what its funnel.json holds beside the steps; empty for one without votes."""
    judges = [Health.model_validate(judge) for judge in more.get("judges", ())]
    lines = Quality.model_validate(more["quality"]).lines if "quality" in more else []
    if "judge_agrees" in more:
        lines = [*lines, Known.model_validate(more["judge_agrees"]).line]
    return Opening(warnings(judges), lines)


def known(said: pl.DataFrame, dropped: pl.Series) -> Known:
    """What verdicts (`said`: [pair_id, judge, verdict]) say of the pairs judged and not among the ids `dropped`."""
    mine = said.lazy().join(dropped.to_frame("pair_id").lazy(), on="pair_id", how="anti")
    states = mine.group_by("pair_id").agg(
        unsure=(pl.col("verdict") == "unsure").any(), right=(pl.col("verdict") == "right").all()
    )
    kept, right, unsure = (
        states.select(pl.len(), pl.col("right").sum(), pl.col("unsure").sum()).collect(engine="streaming").row(0)
    )
    return Known(kept=kept, right=right, unsure=unsure, once=kept - right - unsure)


def judge_kept(
    kept: pl.LazyFrame, judgments: pl.LazyFrame, said: pl.DataFrame, judges: Sequence[JudgeWithEngine], seed: int
) -> Judged:
    """Ask each judge for the votes that are missing on its sample of the kept pairs, drawn by id and seed.

    `said` are the verdicts in `judgments`. A judge that was asked about all of them in both orders is asked nothing
    more, and all of them are its sample. Where there are no `judges`, as with votes recorded earlier, only pairs that
    have both orders can tell.
    """
    table = sizes(kept).with_columns(hash_draw_expr(f"kept sample {seed}").alias("toss")).collect(engine="streaming")
    unequal = table.filter(pl.col("chosen") != pl.col("rejected"))
    mine = said.join(table, on="pair_id", how="semi")
    once = mine.filter(pl.col("verdict") == "partial")["pair_id"].n_unique()
    drawn = table.sort("toss", "pair_id")["pair_id"].unique(maintain_order=True)
    further, found = JUDGMENTS.empty(), []
    for member in reversed(judges):  # the last one is the one whose engine is open
        name, size = member.config.name, member.config.kept_sample
        its = mine.filter(pl.col("judge") == name)
        sample = drawn
        if its.filter(pl.col("verdict") != "partial").height < len(drawn):
            sample = drawn if size is None else drawn.head(size)
            wanted = sample.to_frame("pair_id").lazy()
            votes = judgments.filter(pl.col("judge") == name).join(wanted, on="pair_id", how="semi").collect()
            more = _asked(member, sample, kept, votes, seed)
            further = pl.concat([further, more])
            its = verdicts(pl.concat([votes.select(more.columns), more])).collect()
        found.append(agreement(name, its, len(sample)))
    if not judges:
        parts = mine.sort("judge", descending=True).partition_by("judge", as_dict=True, maintain_order=True)
        found = [agreement(str(name), part, len(drawn)) for (name,), part in parts.items()]
    quality = Quality(
        kept=table.height,
        once=once,
        unequal=unequal.height,
        longer_chosen=unequal.filter(pl.col("chosen") > pl.col("rejected")).height,
        judges=[each for each in reversed(found) if each.sampled],
    )
    return Judged(quality, further)


def agreement(judge: str, said: pl.DataFrame, sampled: int) -> KeptAgreement:
    """What `judge` says of `sampled` pairs, by its verdicts on them (`said`: [pair_id, judge, verdict])."""
    counts = dict(said["verdict"].value_counts().iter_rows())
    right, unsure, wrong = (counts.get(name, 0) for name in ("right", "unsure", "wrong"))
    n = right + unsure + wrong
    interval = wilson(right, n)
    return KeptAgreement(
        judge=judge,
        sampled=sampled,
        n=n,
        right=right,
        unsure=unsure,
        wrong=wrong,
        agreement=ratio(right, n),
        low=interval.low,
        high=interval.high,
    )


def _asked(
    member: JudgeWithEngine, wanted: pl.Series, kept: pl.LazyFrame, votes: pl.DataFrame, seed: int
) -> pl.DataFrame:
    """The member's votes on the wanted pairs that are not among its `votes`."""
    both = wanted.to_frame("pair_id").join(pl.DataFrame({"order": ORDERS}), how="cross")
    due = both.join(votes, on=["pair_id", "order"], how="anti")
    if due.is_empty():
        return JUDGMENTS.empty()
    rows = by_id(kept.join(due.lazy().select("pair_id").unique(), on="pair_id", how="semi").collect(engine="streaming"))
    return ask(member, [Question(*question) for question in due.iter_rows()], rows, seed)
