"""How each judge voted: for which slot, for which length, how steadily, at what cost."""

from collections.abc import Collection

import polars as pl

from factory.exports.facts import Share, share
from factory.stages.health import Health, first_votes, health
from factory.stages.quality import standing
from factory.strict import Strict
from filters.votes import verdicts


class JudgeFacts(Strict):
    """One judge's votes. Biases are measured on the vote asked first, whose order is a coin no rule has touched."""

    health: Health
    """What its votes lean to, tested."""
    for_chosen: Share | None
    """First votes that went to chosen; None, as the groups are empty, where they follow the slot: a coin's share."""
    first_slot: Share | None
    """First votes that went to the reply shown first; 0.5 is without bias."""
    longer: Share | None
    """First votes that went to the longer reply, among pairs of unequal length."""
    flips: float | None
    """Share of pairs whose vote turns with the order, each first vote weighed as often as it was given."""
    verdicts: dict[str, int]
    """right, wrong, unsure, invalid, partial (asked in one order) to number of pairs."""
    by_iteration: dict[str, Share]
    """First votes for chosen, by iteration."""
    by_feature: dict[str, Share]
    """First votes for chosen, by feature."""


def judge_facts(judgments: pl.DataFrame, pairs: pl.DataFrame, authors: Collection[str] = ()) -> list[JudgeFacts]:
    """Facts of each judge in a judgments table. `pairs`: pair_id, lengths of both replies, feature, iteration.

    `authors`: judges that wrote replies.
    """
    ruled = verdicts(judgments.select("pair_id", "judge", "order", "vote")).collect()
    # A pair that two iterations wrote has one set of votes.
    unique = pairs.unique("pair_id", keep="first", maintain_order=True)
    each = health(judgments, unique, authors)
    return [_one(found, judgments.filter(pl.col("judge") == found.judge), unique, ruled) for found in each]


def kept_verdicts(judgments: pl.LazyFrame | None, kept: pl.LazyFrame | None) -> dict[str, int]:
    """Kept pairs that were judged, by what verdicts make of them, see `Known`; empty without votes."""
    if judgments is None or kept is None:
        return {}
    votes = judgments.join(kept.select("pair_id").unique(), on="pair_id", how="semi")
    return dict(standing(verdicts(votes.select("pair_id", "judge", "order", "vote")).collect()))


def _one(found: Health, rows: pl.DataFrame, pairs: pl.DataFrame, ruled: pl.DataFrame) -> JudgeFacts:
    name = found.judge
    first = first_votes(rows, name).join(pairs, on="pair_id", how="left", maintain_order="left")
    # Votes that follow the slot say a coin's share of anything, which would read as a measure.
    telling = first.clear() if found.follows_slot else first
    mine = ruled.filter(pl.col("judge") == name)["verdict"].value_counts().sort("verdict")
    return JudgeFacts(
        health=found,
        for_chosen=share(telling.filter(pl.col("vote") == "chosen").height, telling.height),
        first_slot=share(found.first_slot, found.first_votes),
        longer=share(found.longer or 0, found.unequal or 0),
        flips=_flips(rows, first),
        verdicts=dict(mine.iter_rows()),
        by_iteration=_for_chosen(telling, "iteration"),
        by_feature=_for_chosen(telling, "feature"),
    )


def _flips(rows: pl.DataFrame, first: pl.DataFrame) -> float | None:
    """A rule may ask for the second order after one vote more often than after the other; weights undo that."""
    readable = rows.filter(pl.col("vote").is_not_null()).select("pair_id", "order", second="vote")
    both = first.select("pair_id", "order", "vote").join(readable, on="pair_id", suffix="_second")
    both = both.filter(pl.col("order") != pl.col("order_second"))
    rate = 0.0
    for vote, n in first["vote"].value_counts().iter_rows():
        asked = both.filter(pl.col("vote") == vote)
        if not asked.height:
            # No second answer after such a vote: how often those turn cannot be told, nor then the whole.
            return None
        rate += n / first.height * asked.filter(pl.col("second") != vote).height / asked.height
    return rate if first.height else None


def _for_chosen(first: pl.DataFrame, column: str) -> dict[str, Share]:
    if column not in first.columns:
        return {}
    known = first.filter(pl.col(column).is_not_null())
    found = known.group_by(column).agg(hits=(pl.col("vote") == "chosen").sum(), n=pl.len()).sort(column)
    return {str(name): Share(hits=hits, n=n) for name, hits, n in found.iter_rows()}
