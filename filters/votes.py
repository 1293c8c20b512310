"""Votes: the one place that knows how recorded judgments become decisions, and which questions are still open.

A judge is asked about a pair in two orders, which one first being a coin by pair and judge. A rule walks through a
judge's votes in the order of asking and stops as soon as it is settled. What a rule does not need never changes its
decision, so that deciding from every vote and from the votes that frugal judging asked for is the same by construction.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import polars as pl

from factory.errors import ConfigError, InputError
from factory.schema import ORDERS, REPLIES
from filters.base import KEPT
from filters.hash_draw import hash_draw, hash_draw_expr

Vote = Literal["chosen", "rejected", "unread", "absent"]
"""One question's state: the vote; unread: answered, but not readably; absent: not asked."""
Outcome = Literal["fine", "dropped", "invalid", "ask first", "ask second"]
"""What a judge's votes mean under a rule; the last two name the question, in the order of asking, that is open."""


class VoteRule(NamedTuple):
    """When a judge's second vote is needed, and how a pair that a judge speaks against is called."""

    second_after: Vote
    """The first vote after which the second still matters; after the other one the judge is settled."""
    reason: str
    """Reason of a pair that the rule drops."""


DEFAULT_RULE = "no_judge_prefers_rejected"
RULES: dict[str, VoteRule] = {
    DEFAULT_RULE: VoteRule("rejected", "prefers_rejected"),
    "no_vote_for_rejected": VoteRule("chosen", "vote_for_rejected"),
    "all_right": VoteRule("chosen", "not_right"),
}
"""Dropped is a pair with: a judge whose votes both went to rejected; any vote for rejected; any judge not right."""

VERDICTS = ("right", "unsure", "wrong", "invalid", "partial")

_P_CHOSEN = "p_chosen."
_VOTES = "votes."
_STATES: tuple[Vote, ...] = ("chosen", "rejected", "unread", "absent")
_HALF = len(_STATES) - 1
"""Bits per order in a mask: chosen was voted for, rejected was voted for, an answer could not be read."""
_MASKS = range(1 << 2 * _HALF)
_OUTCOMES: tuple[Outcome, ...] = ("fine", "dropped", "invalid", "ask first", "ask second")


def rule_named(name: str) -> VoteRule:
    """The rule of that name; ConfigError lists the known ones."""
    if name not in RULES:
        raise ConfigError(f"there is no rule {name!r} for judges; known are {', '.join(RULES)}")
    return RULES[name]


def first_order(pair_id: str, judge: str) -> str:
    """The order in which `judge` is asked first about a pair: a fair coin that depends on the two names alone."""
    return ORDERS[hash_draw(pair_id, _coin(judge)) >> 63]


def first_order_expr(judge: str) -> pl.Expr:
    """`first_order` of the column pair_id."""
    return pl.when(_first(judge) == 1).then(pl.lit(ORDERS[1])).otherwise(pl.lit(ORDERS[0]))


def _coin(judge: str) -> str:
    return f"first order {judge}"


def _first(judge: str) -> pl.Expr:
    """Position in ORDERS of `first_order` of the column pair_id."""
    return hash_draw_expr(_coin(judge)) // (1 << 63)


def outcome(rule: VoteRule, first: Vote, second: Vote) -> Outcome:
    """What a judge's two votes, in the order of asking, mean under a rule."""
    if first == "absent":
        return "ask first"
    if first == "unread":
        return "invalid"
    if first != rule.second_after:
        return "fine" if first == "chosen" else "dropped"
    if second == "absent":
        return "ask second"
    if second == "unread":
        return "invalid"
    return "fine" if second == "chosen" else "dropped"


def judges_of(judgments: pl.LazyFrame | pl.DataFrame) -> tuple[str, ...]:
    """The judges that a judgments table holds, by name; InputError for an order that is none."""
    found = judgments.lazy().select("judge", "order").unique().collect(engine="streaming")
    strange = found.filter(~pl.col("order").is_in(ORDERS) | pl.col("order").is_null())
    if not strange.is_empty():
        judge, order = strange.row(0)
        raise InputError(f"judgments: {judge} has the order {order!r}; orders are {' and '.join(ORDERS)}")
    return tuple(sorted(found["judge"].unique()))


def require_known(judgments: pl.DataFrame, where: str) -> None:
    """Raise InputError for an order or a vote that is none: it would count as an answer that nobody could read."""
    for name, known in (("vote", REPLIES[:2]), ("order", ORDERS)):
        strange = judgments.filter(~pl.col(name).is_in(known))[name]
        if len(strange):
            raise InputError(f"{where}: the column {name} holds {strange[0]!r}; known are {' and '.join(known)}")


def join(rows: pl.LazyFrame, said: pl.LazyFrame) -> pl.LazyFrame:
    """`rows` with what `by_pair` says of each."""
    return rows.join(said, on="pair_id", how="left")


def judges_joined(columns: Iterable[str]) -> tuple[str, ...]:
    """The judges whose votes `join` has put beside `columns`, by name."""
    return tuple(sorted(name.removeprefix(_VOTES) for name in columns if name.startswith(_VOTES)))


def with_judges(rows: pl.LazyFrame, judges: Sequence[str]) -> pl.LazyFrame:
    """`rows` with votes joined, and no votes of those `judges` who were asked about no pair at all."""
    there = judges_joined(rows.collect_schema().names())
    nothing = [pl.lit(None, pl.UInt8).alias(_VOTES + judge) for judge in judges if judge not in there]
    return rows.with_columns(nothing)


def mean_p_chosen(judges: Sequence[str]) -> pl.Expr:
    """Mean over judges of the probability each gave to chosen (the mean over its orders); null if one gave none."""
    each = [pl.col(_P_CHOSEN + judge) for judge in judges]
    known = pl.all_horizontal(column.is_not_null() for column in each) if each else pl.lit(False)
    return pl.when(known).then(pl.mean_horizontal(each) if each else None)


def by_pair(judgments: pl.LazyFrame | pl.DataFrame, judges: Sequence[str]) -> pl.LazyFrame:
    """A row per pair with what each judge said of it, in columns that only this module reads: votes, mean p_chosen."""
    table = judgments.lazy()
    p_chosen = pl.col("p_chosen") if "p_chosen" in table.collect_schema() else pl.lit(None, pl.Float64)
    table = table.select("pair_id", "judge", _bits().alias("bits"), p_chosen.fill_nan(None).alias("p"), "order")
    columns = []
    for judge in judges:
        its = pl.col("judge") == judge
        # Bits in one group_by, which streams: one row per pair, whatever was asked of whom.
        columns.append(pl.when(its).then("bits").otherwise(pl.lit(0, pl.UInt8)).bitwise_or().alias(_VOTES + judge))
        by_order = [pl.when(its & (pl.col("order") == order)).then("p").mean() for order in ORDERS]
        # The mean over orders of the mean in each, so that retries of one order do not outweigh the other.
        columns.append(pl.mean_horizontal(by_order).alias(_P_CHOSEN + judge))
    return table.group_by("pair_id").agg(columns)


def _bits() -> pl.Expr:
    """A judgment as one bit of a mask. What is neither vote is unread: a guess would be a vote nobody gave."""
    state = pl.when(pl.col("vote") == "chosen").then(1).when(pl.col("vote") == "rejected").then(2).otherwise(4)
    second = pl.col("order") == ORDERS[1]
    return pl.when(second).then(state * (1 << _HALF)).otherwise(state).cast(pl.UInt8)


def _state(mask: int, order: int) -> Vote:
    """The vote of one order. Answers that contradict each other are no answer; a readable one beats unread tries."""
    bits = mask >> (_HALF * order) & 7
    chosen, rejected = bool(bits & 1), bool(bits & 2)
    if chosen != rejected:
        return "chosen" if chosen else "rejected"
    return "unread" if bits else "absent"


def _seen(judge: str, order: int) -> pl.Expr:
    """The bits of one order in `judge`'s mask; 0 where it was not asked."""
    return pl.col(_VOTES + judge).fill_null(0) // (1 << _HALF * order) % (1 << _HALF)


def _outcome(judge: str, rule: VoteRule) -> pl.Expr:
    """Position in _OUTCOMES of what `judge`'s mask means."""
    table = [
        _OUTCOMES.index(outcome(rule, _state(mask, order), _state(mask, 1 - order)))
        for order in (0, 1)
        for mask in _MASKS
    ]
    # A table over all masks and both orders, made by the Python rule itself: the vectorised decision cannot differ from
    # it.
    mask = pl.col(_VOTES + judge).fill_null(0).cast(pl.UInt64) + _first(judge) * len(_MASKS)
    return mask.replace_strict(range(len(table)), table, return_dtype=pl.UInt8)


def decided(judges: Sequence[str], rule: VoteRule) -> tuple[pl.Expr, pl.Expr]:
    """Reason and detail of a row with joined votes: null keeps it; the detail is the judge that settled it.

    A judge that drops a pair decides, whatever other judges were not asked; so the order of `judges` only chooses whose
    name a dropped pair bears. A pair that no judge drops and that lacks a needed vote is `not_judged`.
    """
    if not judges:
        return pl.lit("not_judged"), KEPT
    reasons, details, open_ = [], [], []
    for judge in judges:
        found = _outcome(judge, rule)
        dropped, invalid = found == _OUTCOMES.index("dropped"), found == _OUTCOMES.index("invalid")
        reasons.append(pl.when(dropped).then(pl.lit(rule.reason)).when(invalid).then(pl.lit("invalid")))
        details.append(pl.when(dropped | invalid).then(pl.lit(judge)))
        open_.append(pl.when(found > _OUTCOMES.index("invalid")).then(pl.lit(judge)))
    reason = pl.coalesce(*reasons, pl.when(pl.coalesce(open_).is_not_null()).then(pl.lit("not_judged")))
    return reason, pl.coalesce(*details, *open_)


def decide(
    judgments: pl.LazyFrame | pl.DataFrame, judges: Sequence[str] | None = None, rule: str = DEFAULT_RULE
) -> pl.LazyFrame:
    """[pair_id, reason, detail] of every pair in `judgments`, see `decided`; `judges` None: all of them, by name."""
    asked = judges_of(judgments) if judges is None else tuple(judges)
    reason, detail = decided(asked, rule_named(rule))
    return by_pair(judgments, asked).select("pair_id", reason=reason, detail=detail)


def next_questions(
    judgments: pl.LazyFrame | pl.DataFrame,
    pair_ids: Iterable[str],
    judges: Sequence[str],
    rule: str = DEFAULT_RULE,
    full_share: float | Mapping[str, float] = 0.0,
) -> pl.DataFrame:
    """[pair_id, judge, order]: what must be asked now, given the judgments there are; empty when all is settled.

    Each pair has at most one question of the rule per call: the next order of its first unsettled judge, and none once
    a judge has dropped it. Beside that, `full_share` of the pairs (per judge where a mapping; the same pairs for every
    judge) are asked in both orders, whatever the rule needs. Grouped by judge, in the order of `judges` and `pair_ids`.
    """
    parsed = rule_named(rule)
    # The type is said, because an empty list would make a column of nulls, which joins with no text.
    rows = pl.LazyFrame({"pair_id": pl.Series(list(pair_ids), dtype=pl.String)}).unique(maintain_order=True)
    wide = rows.join(by_pair(judgments, judges), on="pair_id", how="left", maintain_order="left")
    outcomes = [_outcome(judge, parsed).alias(f"outcome.{judge}") for judge in judges]
    table = wide.with_columns(outcomes).collect()
    lists = [_asked(table, judges, position, full_share) for position in range(len(judges))]
    empty = pl.DataFrame(schema={"pair_id": pl.String, "judge": pl.String, "order": pl.String})
    return pl.concat([empty, *lists])


def _asked(
    table: pl.DataFrame, judges: Sequence[str], position: int, full_share: float | Mapping[str, float]
) -> pl.DataFrame:
    """The questions to one judge."""
    judge = judges[position]
    share = full_share.get(judge, 0.0) if isinstance(full_share, Mapping) else full_share
    settled = _OUTCOMES.index("invalid")
    open_ = [pl.col(f"outcome.{other}") > settled for other in judges]
    dropped = [pl.col(f"outcome.{other}").is_between(1, settled) for other in judges]
    turn = open_[position] & ~pl.any_horizontal(*dropped, *open_[:position])
    second = (pl.col(f"outcome.{judge}") == _OUTCOMES.index("ask second")).cast(pl.UInt64)
    position_asked = (_first(judge) + second) % 2
    # 53 bits, which a float holds exactly; the coin's name has no judge in it, so that all judges get the same pairs.
    full = (hash_draw_expr("judged in full") // (1 << 11)).cast(pl.Float64) / (1 << 53) < share
    wanted = [
        pl.when((turn & (position_asked == order)) | (full & (_seen(judge, order) == 0))).then(pl.lit(name))
        for order, name in enumerate(ORDERS)
    ]
    asked = table.select(
        "pair_id", pl.lit(judge).alias("judge"), pl.concat_list(wanted).list.drop_nulls().alias("order")
    )
    return asked.filter(pl.col("order").list.len() > 0).explode("order")


def masks(judgments: pl.LazyFrame | pl.DataFrame) -> pl.LazyFrame:
    """[pair_id, judge, mask]: all that a judge said of a pair, in a number that only this module reads."""
    return judgments.lazy().group_by("pair_id", "judge").agg(mask=_bits().bitwise_or())


class VoteGroup(NamedTuple):
    """Pairs of a judge that are alike in its votes."""

    first: int
    """Position in ORDERS of the order that is asked first."""
    votes: tuple[Vote, Vote]
    """One per order, in that of ORDERS."""
    pairs: int


def tallies(masked: pl.DataFrame, judge: str) -> list[VoteGroup]:
    """The judge's pairs, counted; `masked` as `masks`."""
    mine = masked.lazy().filter(pl.col("judge") == judge)
    counts = mine.group_by(_first(judge).alias("first"), "mask").len().sort("first", "mask").collect()
    return [VoteGroup(first, (_state(mask, 0), _state(mask, 1)), n) for first, mask, n in counts.iter_rows()]


def verdicts(judgments: pl.LazyFrame | pl.DataFrame) -> pl.LazyFrame:
    """[pair_id, judge, verdict]: what each judge's two votes say, for audits and reports.

    right: both for chosen; wrong: both for rejected; unsure: one each; invalid: one could not be read; partial: only
    one order was asked.
    """
    table = [_verdict(_state(mask, 0), _state(mask, 1)) for mask in _MASKS]
    verdict = pl.col("mask").replace_strict(list(_MASKS), table, return_dtype=pl.Enum([*VERDICTS])).cast(pl.String)
    return masks(judgments).select("pair_id", "judge", verdict=verdict)


def _verdict(first: Vote, second: Vote) -> str:
    both = {first, second}
    if "unread" in both:
        return "invalid"
    if "absent" in both:
        return "partial"
    return "unsure" if len(both) == 2 else {"chosen": "right", "rejected": "wrong"}[first]
