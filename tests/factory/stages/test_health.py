"""A judge's health, worked by hand: what counts, what is told, and that nothing is told without grounds."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from factory.identity import digest
from factory.schema import JUDGMENTS, ORDERS, conform
from factory.stages.health import Health, health, warnings
from factory.statistics.shares import coin_p_value
from filters.votes import first_order

J = "J"


def other(order: str) -> str:
    return ORDERS[1 - ORDERS.index(order)]


def to_slot(order: str, slot: int) -> str:
    """The vote that goes to the first (0) or second (1) reply shown."""
    return "chosen" if (order == ORDERS[0]) == (slot == 0) else "rejected"


def table(rows: list[tuple[str, str, str | None]], judge: str = J) -> pl.DataFrame:
    made = [{"pair_id": pair, "judge": judge, "order": order, "vote": vote} for pair, order, vote in rows]
    return conform(pl.DataFrame(made, schema_overrides={"vote": pl.String}), JUDGMENTS)


def one(rows: list[tuple[str, str, str | None]], **more: object) -> Health:
    (found,) = health(table(rows), **more)
    return found


def first_votes(slots: list[int]) -> list[tuple[str, str, str]]:
    ids = [digest(number) for number in range(len(slots))]
    orders = [first_order(pair, J) for pair in ids]
    return [(pair, order, to_slot(order, slot)) for pair, order, slot in zip(ids, orders, slots, strict=True)]


def test_a_judge_that_always_answers_the_second_slot() -> None:
    """19 of 19 to the second slot: two tails of 2^-19, which is 3.8e-6."""
    rows = first_votes([1] * 19)
    found = one(rows)
    assert (found.first_votes, found.first_slot) == (19, 0)
    assert found.p_value == pytest.approx(2 / 2**19)
    assert found.follows_slot
    (said,) = found.warnings
    assert said == (
        "J follows the slot: 19 of 19 first votes went to the reply shown second (p = 3.8e-06); "
        "its votes decide nothing; most pairs were asked in one order alone"
    )
    both = one(rows + [(pair, other(order), to_slot(other(order), 1)) for pair, order, _ in rows])
    assert (both.both_orders, both.flips, both.flips_to_first) == (19, 19, 0)
    assert both.flips_p_value == pytest.approx(2 / 2**19)
    assert both.warnings[0].endswith("both orders were asked of all")


def test_flips_are_counted_over_every_pair_with_both_orders_and_second_votes_lean_to_nothing() -> None:
    """Ten pairs without a lean; four are asked again: two turn, one stands, one cannot be read."""
    rows = first_votes([0, 1] * 5)
    again = []
    for (pair, order, vote), to in zip(rows, ("turn", "turn", "stand", None), strict=False):
        turned = {"chosen": "rejected", "rejected": "chosen"}[vote]
        again.append((pair, other(order), {"turn": turned, "stand": vote, None: None}[to]))
    found = one(rows + again)
    assert (found.votes, found.unread, found.first_votes, found.first_slot) == (14, 1, 10, 5)
    assert (found.both_orders, found.flips, found.flips_to_first) == (3, 2, 1)
    assert (found.p_value, found.in_full, found.leans) == (1.0, False, False)
    assert found.warnings == []


def test_a_lean_that_does_not_decide_most_is_called_a_lean() -> None:
    """65 of 100: p 0.0035; 75 of 100 follow the slot; 55 of 100 are a coin's."""
    kinds = {55: (False, False), 65: (True, False), 75: (True, True), 25: (True, True)}
    for hits, (leans, follows) in kinds.items():
        found = one(first_votes([0] * hits + [1] * (100 - hits)))
        assert (found.leans, found.follows_slot) == (leans, follows), hits
    assert "J leans to one slot: 65 of 100" in one(first_votes([0] * 65 + [1] * 35)).warnings[0]


def test_few_votes_prove_nothing() -> None:
    assert not one(first_votes([0] * 7)).follows_slot, "p is 2/128"
    assert one(first_votes([0] * 8)).follows_slot, "p is 2/256"
    assert health(JUDGMENTS.empty()) == []


def test_length_unread_answers_and_self_judging() -> None:
    rows = first_votes([0, 1, 0, 1])
    lengths = pl.DataFrame({"pair_id": [row[0] for row in rows], "chosen": [9, 9, 5, 5], "rejected": [5, 5, 9, 5]})
    found = one(rows, lengths=lengths, authors=[J])
    longer = sum(vote == side for (_, _, vote), side in zip(rows, ("chosen", "chosen", "rejected"), strict=False))
    assert (found.unequal, found.longer) == (3, longer)
    assert found.warnings == ["J judges replies of its own model"]
    unread = one([(pair, order, None) for pair, order, _ in rows])
    assert (unread.first_votes, unread.p_value, unread.first_slot_rate) == (0, None, None)
    assert unread.warnings == ["J gave no readable answer to 4 of 4 questions"]
    (pair, order, _), *read = first_votes([0, 1] * 5)
    for many, warned in ((9, 0), (8, 1)):
        assert len(one([(pair, order, None), *read[:many]]).warnings) == warned, "of more than a tenth"


def test_the_worst_judge_is_told_first() -> None:
    well = [(pair, order, None) for pair, order, _ in first_votes([0] * 20)]
    bad = [(pair, order, to_slot(order, 0)) for pair in map(digest, range(20)) for order in ORDERS]
    found = warnings(health(pl.concat([table(well, "A"), table(bad, "Z")])))
    assert [line.split()[0] for line in found] == ["Z", "A"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_p_value_is_the_binomial_tests(counts: tuple[int, int]) -> None:
    hits, n = counts
    found = coin_p_value(hits, n)
    assert found is None if n == 0 else math.isclose(found, binomtest(hits, n).pvalue, rel_tol=1e-9)


def test_the_p_value_of_many_votes_is_the_normal_distributions() -> None:
    for hits in (50_000, 50_200, 50_500):
        assert coin_p_value(hits, 100_000) == pytest.approx(binomtest(hits, 100_000).pvalue, rel=0.02)
