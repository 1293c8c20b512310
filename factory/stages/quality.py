"""How good the kept pairs are by the judges that filtered them: a random sample of them, asked in both orders."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.errors import percent, span
from factory.files.streaming import few
from factory.schema import JUDGMENTS
from factory.stages.health import Health, sizes, warnings
from factory.stages.id_set import IdSet
from factory.stages.judge import JudgeWithEngine, Question, ask, by_id, missing
from factory.stages.parts import parts
from factory.stages.votes import NARROW, VoteParts, VotesInParts
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
        share, low, high = map(percent, (self.right / self.n, self.low or 0.0, self.high or 0.0))
        unread = f", {self.sampled - self.n:,} unreadable beside them" if self.sampled > self.n else ""
        return (
            f"{self.judge} agrees with {share} of them (95 % interval {span(low, high)}; {self.n:,} judged in both "
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
        once = f", {self.once:,} of them on a single vote of some judge" if self.once else ""
        longer = ratio(self.longer_chosen, self.unequal)
        longer_said = "" if longer is None else f"; chosen is the longer reply in {percent(longer)} of unequal length"
        pairs = "pair" if self.kept == 1 else "pairs"
        return [f"{self.kept:,} {pairs} kept{once}{longer_said}", *(judge.line for judge in self.judges)]


STANDING = ("unsure", "wrong", "once", "unread", "right")
"""What judges' verdicts make of a pair: the fields of `Known`."""


class Known(Strict):
    """What the votes say of the pairs that `judge_agrees` kept."""

    kept: int
    right: int
    """Called right by every judge in both orders."""
    unsure: int
    """Some judge's verdict turned with the order: it could not know."""
    wrong: int = 0
    """Of the others: some judge, which did not decide, called them wrong."""
    once: int
    """Of the others: some judge was asked in one order alone."""
    unread: int = 0
    """The rest: an answer in one of the two orders could not be read."""

    @property
    def line(self) -> str:
        """One sentence."""
        wrong = f", {self.wrong:,} wrong by a judge that does not decide" if self.wrong else ""
        unread = f", and {self.unread:,} with an answer in one order that could not be read" if self.unread else ""
        return (
            f"pairs that judge_agrees kept: {self.kept:,}, of which {self.right:,} right in both orders by every judge,"
            f" {self.unsure:,} not known (a verdict turned with the order){wrong} and {self.once:,} asked in one order"
            f" alone by some judge{unread}"
        )


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


def known(votes: Iterable[pl.DataFrame], dropped: IdSet) -> Known:
    """What `votes`, in parts that hold all of their pairs', say of the pairs judged and not among those `dropped`."""
    found: Counter[str] = Counter()
    for part in votes:
        said = verdicts(part).collect()
        found.update(standing(said.filter(~dropped.has(said["pair_id"]))))
    return Known(kept=found.total(), **{state: found[state] for state in STANDING})


def standing(said: pl.DataFrame) -> Counter[str]:
    """Pairs by the first of STANDING that is so of them; `said` as `verdicts`."""
    found = [(pl.col("verdict") == verdict).any() for verdict in ("unsure", "wrong", "partial", "invalid")]
    states = [pl.when(one).then(pl.lit(name)) for one, name in zip(found, STANDING, strict=False)]
    state = pl.coalesce(*states, pl.lit(STANDING[-1]))
    return Counter(dict(said.group_by("pair_id").agg(state=state)["state"].value_counts().iter_rows()))


def judge_kept(
    kept: pl.LazyFrame, votes: VotesInParts, judges: Sequence[JudgeWithEngine], seed: int, further: VoteParts
) -> Quality:
    """Ask each judge for the votes that are missing on its sample of the kept pairs, drawn by id and seed.

    `further` takes what was asked for. A judge that was asked about all of them in both orders is asked nothing more,
    and all of them are its sample. Where there are no `judges`, as with votes recorded earlier, only pairs that have
    both orders can tell.
    """
    ids = IdSet(kept)
    said, once = _said(votes.narrow(), ids)
    found = []
    for member in reversed(judges):  # the last one is the one whose engine is open
        name, size = member.config.name, member.config.kept_sample
        if said[name].total() - said[name]["partial"] == len(ids):
            found.append(agreement(name, said[name], len(ids)))
            continue
        drawn = _drawn(kept, seed, size)
        counts: Counter[str] = Counter()
        for wanted in parts(drawn.to_frame().lazy()):
            # Filtered before the join, which would hold all votes of the other judges as well.
            its = votes.scan().select(NARROW).filter(pl.col("judge") == name)
            given = its.join(wanted.lazy(), on="pair_id", how="semi").collect(engine="streaming")
            more = _asked(member, wanted, kept, given, seed)
            further.put(len(further), more)
            counts.update(_counts(pl.concat([given, more.select(NARROW)])))
        found.append(agreement(name, counts, len(drawn)))
    if not judges:
        asked = {name: counts.total() - counts["partial"] for name, counts in said.items()}
        found = [agreement(name, said[name], asked[name]) for name in sorted(said, reverse=True)]
    lengths = sizes(kept).select(
        pl.len(),
        unequal=(pl.col("chosen") != pl.col("rejected")).sum(),
        longer=(pl.col("chosen") > pl.col("rejected")).sum(),
    )
    pairs, unequal, longer = lengths.collect(engine="streaming").row(0)
    shown = [each for each in reversed(found) if each.sampled]
    return Quality(kept=pairs, once=once, unequal=unequal, longer_chosen=longer, judges=shown)


def _said(votes: Iterable[pl.DataFrame], kept: IdSet) -> tuple[dict[str, Counter[str]], int]:
    """How many of the kept pairs have each verdict of each judge; and how many are `partial` to some judge."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    once = 0
    for part in votes:
        said = verdicts(part).collect()
        mine = said.filter(kept.has(said["pair_id"]))
        for judge, verdict, pairs in mine.group_by("judge", "verdict").len().iter_rows():
            found[judge][verdict] += pairs
        once += mine.filter(pl.col("verdict") == "partial")["pair_id"].n_unique()
    return found, once


def _counts(votes: pl.DataFrame) -> dict[str, int]:
    """Pairs by verdict."""
    return dict(verdicts(votes).collect()["verdict"].value_counts().iter_rows())


def _drawn(pairs: pl.LazyFrame, seed: int, size: int | None) -> pl.Series:
    """The ids, each once, in an order drawn by seed, the first `size` of them."""
    ids = pl.DataFrame(schema={"pair_id": pl.String})
    for part in [pairs.select("pair_id").collect()] if size is None else parts(pairs.select("pair_id")):
        # The lowest tosses so far and those of a part: in hand are never more than the two.
        tossed = pl.concat([ids, part]).unique().with_columns(toss=hash_draw_expr(f"kept sample {seed}"))
        ids = tossed.sort("toss", "pair_id").select("pair_id").head(part.height if size is None else size)
    return ids["pair_id"]


def agreement(judge: str, counts: Mapping[str, int], sampled: int) -> KeptAgreement:
    """What `judge` says of `sampled` pairs, of which so many have each verdict."""
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
    member: JudgeWithEngine, wanted: pl.DataFrame, kept: pl.LazyFrame, votes: pl.DataFrame, seed: int
) -> pl.DataFrame:
    """The member's votes on the wanted pairs that are not among its `votes`."""
    due = missing(wanted, votes)
    if due.is_empty():
        return JUDGMENTS.empty()
    rows = by_id(few(kept.join(due.lazy().select("pair_id").unique(), on="pair_id", how="semi")))
    return ask(member, [Question(*question) for question in due.iter_rows()], rows, seed)
