"""Which questions judges are spared: the decisions are those of asking everything."""

from itertools import product

import polars as pl
import pytest

from factory.config import Judge
from factory.engines.base import Completion, Request
from factory.identity import draw
from factory.schema import JUDGMENTS
from factory.stages.judge import PROBE, JudgeWithEngine, judge
from filters.votes import RULES, decide, first_order
from tests.factory.stages.test_judge import Answer, Scripted, one, pairs_of, prefers_longer, says


def two_judges() -> tuple[pl.DataFrame, dict[str, dict[tuple[str, str], str]]]:
    """81 x 3 pairs, one for each combination of two judges' answers (m, M, unread) in two orders, and the answers."""
    sides = [(f"chosen {number}", f"rejected {number}") for number in range(243)]
    pairs = pairs_of(*sides)
    answers: dict[str, dict[tuple[str, str], str]] = {"A": {}, "B": {}}
    combinations = list(product(("m", "M", "?"), repeat=4)) * 3
    for pair, (a1, a2, b1, b2) in zip(pairs["pair_id"], combinations, strict=True):
        for name, order, text in (
            ("A", "chosen_first", a1),
            ("A", "rejected_first", a2),
            ("B", "chosen_first", b1),
            ("B", "rejected_first", b2),
        ):
            answers[name][pair, order] = text
    return pairs, answers


def panel(answers: dict[str, dict[tuple[str, str], str]], **options: object) -> list[JudgeWithEngine]:
    def answer(name: str) -> Answer:
        known = answers[name]
        return lambda request: Completion(request.id, known[request.tags["pair_id"], request.tags["order"]])

    return [JudgeWithEngine(Judge(name=name, retries=0, **options), Scripted(answer(name))) for name in sorted(answers)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("full_share", [0.0, 0.2])
def test_frugal_judging_decides_as_exhaustive_judging_does_and_asks_less(rule: str, full_share: float) -> None:
    pairs, answers = two_judges()
    everything = judge(pairs, panel(answers, frugal=False), rule, seed=1)
    frugal = judge(pairs, panel(answers, full_share=full_share), rule, seed=1)
    assert len(everything) == 243 * 4
    assert len(frugal) < 0.8 * len(everything)
    assert frugal.join(everything, on=JUDGMENTS.dtypes.keys(), how="anti", nulls_equal=True).is_empty()

    def kept(votes: pl.DataFrame) -> set[str]:
        decided = decide(votes, ["A", "B"], rule).collect()
        return set(decided.filter(pl.col("reason").is_null())["pair_id"])

    assert kept(frugal) == kept(everything)
    assert 0 < len(kept(everything)) < 243


def test_frugal_judging_asks_by_the_coin_and_stops_where_the_rule_is_settled() -> None:
    """Under the default rule a first vote for chosen settles a judge; a first vote for rejected asks for the second."""
    pairs = pairs_of(*((f"c{n}", f"r{n}") for n in range(40)))
    for vote, orders in (("chosen", 1), ("rejected", 2)):
        votes, engine = one(
            lambda request, vote=vote: Completion(
                request.id, "m" if (request.tags["order"] == "chosen_first") == (vote == "chosen") else "M"
            ),
            pairs,
            rule="no_judge_prefers_rejected",
            full_share=0.0,
        )
        assert set(votes["vote"]) == {vote}
        assert len(votes) == 40 * orders
        for request in engine.calls[0]:
            assert request.tags["order"] == first_order(request.tags["pair_id"], "J")


def test_a_later_judge_is_not_asked_about_a_pair_that_is_dropped() -> None:
    wrong = says("M")  # first slot loses; asked in both orders this is one vote each
    pairs = pairs_of(*((f"c{n}", f"r{n}") for n in range(10)))
    always_rejected = Scripted(
        lambda request: Completion(request.id, "M" if request.tags["order"] == "chosen_first" else "m")
    )
    second = Scripted(wrong)
    members = [
        JudgeWithEngine(Judge(name="A", full_share=0), always_rejected),
        JudgeWithEngine(Judge(name="B", full_share=0), second),
    ]
    judge(pairs, members, "no_judge_prefers_rejected", 1)
    assert second.calls == []
    assert len(always_rejected.asked) == 20


@pytest.mark.parametrize("rule", [*RULES, None])
@pytest.mark.parametrize("slot", [0.0, 0.9])
def test_parts_ask_what_is_asked_at_once_and_no_more_of_an_engine_than_a_part(
    rule: str | None, slot: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two judges, one of which follows the slot where `slot` is large; pairs by id, so that both have one probe."""
    pairs = pairs_of(*((f"c{n}" * (n % 5), f"r{n}") for n in range(150))).sort("pair_id")

    def answer(request: Request) -> Completion:
        coin = draw(0, request.tags["pair_id"], request.tags["order"]) % 100
        return says("m")(request) if coin < 100 * slot else prefers_longer(request)

    def panel() -> list[JudgeWithEngine]:
        return [JudgeWithEngine(Judge(name=name, full_share=0.1), Scripted(answer)) for name in ("A", "B")]

    once, parted = panel(), panel()
    votes = judge(pairs, once, rule, seed=1)
    monkeypatch.setattr("factory.stages.parts.AT_ONCE", 60)
    assert judge(pairs, parted, rule, seed=1).equals(votes)
    for whole, other in zip(once, parted, strict=True):
        assert isinstance(whole.engine, Scripted)
        assert isinstance(other.engine, Scripted)
        assert {request.id for request in whole.engine.asked} == {request.id for request in other.engine.asked}
        assert max(len(call) for call in other.engine.calls) <= 2 * 60


def test_an_audit_asks_everything() -> None:
    """Without a rule both orders of all pairs are asked, frugal or not, in one call."""
    votes, engine = one(says("m"), pairs_of(*((f"c{n}", f"r{n}") for n in range(10))), rule=None, frugal=True)
    assert len(votes) == 20
    assert len(engine.calls) == 1


def votes_for_slot(share: float, slot: int) -> Answer:
    """A judge that gives this share of its votes to a slot, whatever is in it, and the others to chosen."""

    def answer(request: Request) -> Completion:
        coin = draw("slot", request.tags["pair_id"]) / 2**63
        wanted = 0 if request.tags["order"] == "chosen_first" else 1
        return Completion(request.id, ("m", "M")[slot if coin < share else wanted])

    return answer


@pytest.mark.parametrize("slot", [0, 1])
def test_a_frugal_judge_that_follows_the_slot_is_asked_in_full_and_decides_as_ever(slot: int) -> None:
    """All of 120 pairs; its 50 first ones are asked in full before the others are asked at all."""
    pairs = pairs_of(*((f"c{n}", f"r{n}") for n in range(120)))
    rule = "no_judge_prefers_rejected"
    votes, engine = one(votes_for_slot(1.0, slot), pairs, rule=rule, full_share=0.0)
    assert len(votes) == 240
    asked = [(request.tags["pair_id"], request.tags["order"]) for request in engine.asked]
    assert len(set(asked)) == 240
    assert {pair for pair, _ in asked[:100]} == set(sorted(pairs["pair_id"])[:PROBE])
    exhaustive, _ = one(votes_for_slot(1.0, slot), pairs, rule=rule, frugal=False)
    assert votes.equals(exhaustive)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_a_judge_that_hardly_leans_stays_frugal(share: float) -> None:
    """At a share of 0.2 some 60 % of its first votes go to the slot."""
    pairs = pairs_of(*((f"c{n}", f"r{n}") for n in range(120)))
    votes, _ = one(votes_for_slot(share, 0), pairs, rule="no_judge_prefers_rejected", full_share=0.0)
    assert 120 <= len(votes) < 160


def test_a_judge_that_follows_the_slot_is_not_asked_about_what_another_one_dropped() -> None:
    pairs = pairs_of(*((f"c{n}", f"r{n}") for n in range(80)))
    half = set(pairs["pair_id"][:40])

    def drops_half(request: Request) -> Completion:
        chosen_first = request.tags["order"] == "chosen_first"
        return Completion(request.id, "Mm"[chosen_first != (request.tags["pair_id"] in half)])

    members = [
        JudgeWithEngine(Judge(name="A", full_share=0), Scripted(drops_half)),
        JudgeWithEngine(Judge(name="B", full_share=0), Scripted(says("M"))),
    ]
    votes = judge(pairs, members, "no_judge_prefers_rejected", 1)
    assert len(votes.filter(pl.col("judge") == "A")) == 120
    assert set(votes.filter(pl.col("judge") == "B")["pair_id"]) == set(pairs["pair_id"]) - half
    assert len(votes.filter(pl.col("judge") == "B")) == 80
