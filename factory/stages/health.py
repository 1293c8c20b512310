"""Whether a judge judges: what its votes lean to beside the replies, told from the votes alone."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeVar

import polars as pl

from factory.statistics.shares import coin_p_value, ratio
from factory.strict import Strict
from filters.votes import VoteGroup, first_order_expr, masks, tallies

ALPHA = 0.01
"""A share of first slots that a coin would show less often than this is no coin's."""
DECIDES = 0.75
"""From this share of votes for one slot on, at least half of all verdicts turn with the order (2 * 0.75 - 1)."""
_Votes = TypeVar("_Votes", pl.DataFrame, pl.LazyFrame)
_READ = ("chosen", "rejected")
_TO_FIRST = ("chosen", "rejected")
"""Votes in the two orders that both went to the reply shown first."""


class Health(Strict):
    """One judge's votes, beside what they say of the pairs.

    Leanings are measured on the vote asked first of each pair, whose order is a coin that no rule has touched.
    """

    judge: str
    votes: int
    """Answers, readable or not."""
    unread: int
    first_votes: int
    """Pairs whose vote asked first can be read."""
    first_slot: int
    """First votes for the reply shown first."""
    p_value: float | None
    """How often a judge without a liking for a slot would show so uneven a share (two-sided binomial test)."""
    both_orders: int
    """Pairs with readable votes in both orders, for whatever reason they were asked."""
    flips: int
    """Those of them whose vote turned with the order."""
    flips_to_first: int
    """Turned votes that both went to the reply shown first; the others both went to the one shown second."""
    flips_p_value: float | None
    unequal: int | None
    """First votes on pairs of unequal length; None where lengths are not known."""
    longer: int | None
    """Those for the longer reply."""
    in_full: bool
    """Whether every pair it was asked about was asked in both orders."""
    wrote: bool = False
    """Whether it, or the model behind it, wrote replies that it judged."""

    @property
    def first_slot_rate(self) -> float | None:
        """Share of first votes for the reply shown first; a half without bias."""
        return ratio(self.first_slot, self.first_votes)

    @property
    def leans(self) -> bool:
        """Whether the share of first slots is no coin's."""
        return self.p_value is not None and self.p_value < ALPHA

    @property
    def follows_slot(self) -> bool:
        """Whether the slot decides more than the replies do: its votes, taken once, say nothing of the pairs."""
        rate = self.first_slot_rate
        return self.leans and rate is not None and max(rate, 1 - rate) >= DECIDES

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before any number that rests on these votes, one sentence each."""
        found = []
        if self.follows_slot:
            asked = "both orders were asked of all" if self.in_full else "most pairs were asked in one order alone"
            found.append(f"{self.judge} follows the slot: {self._lean}; its votes decide nothing; {asked}")
        elif self.leans:
            found.append(f"{self.judge} leans to one slot: {self._lean}; trust its verdicts in both orders alone")
        if self.unread * 10 > self.votes:
            found.append(f"{self.judge} gave no readable answer to {self.unread:,} of {self.votes:,} questions")
        if self.wrote:
            found.append(f"{self.judge} judges replies of its own model")
        return found

    @property
    def _lean(self) -> str:
        second = self.first_votes - self.first_slot
        slot, hits = ("second", second) if second > self.first_slot else ("first", self.first_slot)
        # The p-value of a million votes may underflow to 0, which none is.
        chance = f"p = {self.p_value:.2g}" if self.p_value else "p < 1e-300"
        return f"{hits:,} of {self.first_votes:,} first votes went to the reply shown {slot} ({chance})"


def health(
    judgments: pl.DataFrame | pl.LazyFrame, lengths: pl.DataFrame | None = None, authors: Collection[str] = ()
) -> list[Health]:
    """The health of each judge in a judgments table, by name.

    `lengths`: pair_id and the lengths of chosen and rejected, of any pairs; `authors`: judges that wrote replies.
    The order of rows means nothing.
    """
    leanings = Leanings()
    leanings.add(judgments, lengths)
    return leanings.healths(authors)


class Leanings:
    """What judges' votes lean to, counted part by part; every part holds all the votes on its pairs."""

    def __init__(self) -> None:
        self._of: dict[str, Counter[str]] = {}
        self._measured = False

    def add(self, judgments: pl.DataFrame | pl.LazyFrame, lengths: pl.DataFrame | None = None) -> None:
        """Count a part; `lengths` as in `health`, of its pairs, with every part or with none."""
        self._measured = lengths is not None
        masked = masks(judgments).collect(engine="streaming")
        for judge in masked["judge"].unique():
            counts = self._of.setdefault(judge, Counter())
            for tally in tallies(masked, judge):
                _count(tally, counts)
            votes = judgments.lazy().filter(pl.col("judge") == judge)
            asked = votes.select(votes=pl.len(), unread=pl.col("vote").null_count()).collect(engine="streaming")
            counts.update(asked.row(0, named=True))
            if lengths is not None:
                counts.update(_longer(votes, judge, lengths))

    def healths(self, authors: Collection[str] = ()) -> list[Health]:
        """Each judge's health, by name; `authors` as in `health`."""
        return [_health(name, counts, self._measured, name in authors) for name, counts in sorted(self._of.items())]


def warnings(judges: Sequence[Health]) -> list[str]:
    """Those of all judges, the worst judges' first."""
    return [line for judge in sorted(judges, key=lambda judge: not judge.follows_slot) for line in judge.warnings]


def sizes(pairs: pl.LazyFrame) -> pl.LazyFrame:
    """[pair_id, chosen, rejected]: lengths in characters of the pairs that have both replies."""
    # Rejected rows may be no pairs, and lack a reply.
    there = pairs.filter(pl.all_horizontal(pl.col("pair_id", "chosen", "rejected").is_not_null()))
    return there.select("pair_id", pl.col("chosen", "rejected").str.len_chars())


def first_votes(votes: _Votes, judge: str) -> _Votes:
    """[pair_id, order, vote] of a judge's readable votes that were asked first, one per pair."""
    readable = votes.filter(pl.col("vote").is_not_null()).select("pair_id", "order", "vote")
    asked_first = readable.filter(pl.col("order") == first_order_expr(judge))
    # The same vote twice, as from two files of judgments, is one.
    return asked_first.unique("pair_id", keep="first", maintain_order=True)


def _longer(votes: pl.LazyFrame, judge: str, lengths: pl.DataFrame) -> dict[str, int]:
    """How many first votes were on pairs of unequal length, and for the longer reply."""
    each = lengths.select("pair_id", "chosen", "rejected").unique("pair_id", keep="first")
    known = first_votes(votes, judge).join(each.lazy(), on="pair_id").filter(pl.col("chosen") != pl.col("rejected"))
    for_longer = (pl.col("chosen") > pl.col("rejected")) == (pl.col("vote") == "chosen")
    return known.select(unequal=pl.len(), longer=for_longer.sum()).collect(engine="streaming").row(0, named=True)


def _health(judge: str, counts: Counter[str], measured: bool, wrote: bool) -> Health:
    return Health(
        judge=judge,
        votes=counts["votes"],
        unread=counts["unread"],
        first_votes=counts["first"],
        first_slot=counts["first slot"],
        p_value=coin_p_value(counts["first slot"], counts["first"]),
        both_orders=counts["both"],
        flips=counts["turned"],
        flips_to_first=counts["turned to first"],
        flips_p_value=coin_p_value(counts["turned to first"], counts["turned"]),
        unequal=counts["unequal"] if measured else None,
        longer=counts["longer"] if measured else None,
        in_full=not counts["once"],
        wrote=wrote,
    )


def _count(tally: VoteGroup, counts: Counter[str]) -> None:
    """Add pairs whose votes are alike to what they count towards."""
    asked_first = tally.votes[tally.first]
    if asked_first in _READ:
        counts["first"] += tally.pairs
        counts["first slot"] += tally.pairs * ((asked_first == "chosen") == (tally.first == 0))
    if "absent" in tally.votes:
        counts["once"] += tally.pairs
    if all(vote in _READ for vote in tally.votes):
        counts["both"] += tally.pairs
    if tally.votes in (_TO_FIRST, _TO_FIRST[::-1]):
        counts["turned"] += tally.pairs
        counts["turned to first"] += tally.pairs * (tally.votes == _TO_FIRST)
