import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import ConfigError, InputError
from factory.identity import digest
from factory.schema import JUDGMENTS, ORDERS
from filters.votes import (
    DEFAULT_RULE,
    RULES,
    decide,
    first_order,
    judges_of,
    next_questions,
    outcome,
    rule_named,
    verdicts,
)
from tests.filters.table import votes

STRICT = ("no_vote_for_rejected", "all_right")


def in_asking_order(pair, judge, *given_votes):
    """Judgments of a judge's votes, first asked first."""
    first = first_order(pair, judge)
    orders = (first, ORDERS[1 - ORDERS.index(first)])
    return [(pair, judge, order, vote) for order, vote in zip(orders, given_votes, strict=False)]


def decision(rows, rule=DEFAULT_RULE, judges=None):
    """{pair_id: (reason, detail)}."""
    found = decide(votes(*rows), judges, rule).collect()
    return {pair: (reason, detail) for pair, reason, detail in found.iter_rows()}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("first", "second", "default", "strict"),
    [
        ("absent", "absent", "ask first", "ask first"),
        ("absent", "rejected", "ask first", "ask first"),
        ("chosen", "absent", "fine", "ask second"),
        ("chosen", "chosen", "fine", "fine"),
        ("chosen", "rejected", "fine", "dropped"),
        ("chosen", "unread", "fine", "invalid"),
        ("rejected", "absent", "ask second", "dropped"),
        ("rejected", "chosen", "fine", "dropped"),
        ("rejected", "rejected", "dropped", "dropped"),
        ("rejected", "unread", "invalid", "dropped"),
        ("unread", "absent", "invalid", "invalid"),
        ("unread", "chosen", "invalid", "invalid"),
    ],
)
def test_votes_of_one_judge_say_whom_to_ask_next(rule, first, second, default, strict):
    assert outcome(RULES[rule], first, second) == (default if rule == DEFAULT_RULE else strict)


ONE_JUDGE = [
    (("chosen", "chosen"), None, None),
    (("chosen", "rejected"), None, "dropped"),
    (("rejected", "chosen"), None, "dropped"),
    (("rejected", "rejected"), "dropped", "dropped"),
    (("chosen",), None, "not_judged"),
    (("rejected",), "not_judged", "dropped"),
    (("chosen", None), None, "invalid"),
    (("rejected", None), "invalid", "dropped"),
    ((None, "chosen"), "invalid", "invalid"),
    ((None,), "invalid", "invalid"),
]


@pytest.mark.parametrize("rule", RULES)
def test_one_judge_decides_alike_whichever_order_came_first(rule):
    """Whichever order the coin of the pair asks first: eight pairs for each pattern of votes."""
    expected, rows = {}, []
    for number, (both, default, strict) in enumerate(ONE_JUDGE):
        reason = default if rule == DEFAULT_RULE else strict
        reason = RULES[rule].reason if reason == "dropped" else reason
        for letter in "abcdefgh":
            rows += in_asking_order(f"{number}{letter}", "judge", *both)
            expected[f"{number}{letter}"] = (reason, None if reason is None else "judge")
    assert len({order for _, _, order, _ in rows}) == 2
    assert decision(rows, rule) == expected


def test_each_rule_gives_its_reason():
    wrong = in_asking_order("a", "j", "rejected", "rejected")
    assert [decision(wrong, rule)["a"][0] for rule in RULES] == ["prefers_rejected", "vote_for_rejected", "not_right"]


def test_of_two_judges_either_drops_a_pair():
    """A pair is dropped by whoever drops it; the first of the judges lends its name, and a drop needs no other."""
    right, wrong = ("chosen", "chosen"), ("rejected", "rejected")
    rows = [
        *in_asking_order("both right", "A", *right),
        *in_asking_order("both right", "B", *right),
        *in_asking_order("B wrong", "A", *right),
        *in_asking_order("B wrong", "B", *wrong),
        *in_asking_order("A alone", "A", *wrong),
        *in_asking_order("B unasked", "A", *right),
        *in_asking_order("each its own way", "A", None),
        *in_asking_order("each its own way", "B", *wrong),
    ]
    assert decision(rows) == {
        "both right": (None, None),
        "B wrong": ("prefers_rejected", "B"),
        "A alone": ("prefers_rejected", "A"),
        "B unasked": ("not_judged", "B"),
        "each its own way": ("invalid", "A"),
    }
    assert decision(rows, judges=["B", "A"])["each its own way"] == ("prefers_rejected", "B")
    assert decision(rows, judges=["A"])["B wrong"] == (None, None)
    assert decision(rows, judges=["A", "C"])["both right"] == ("not_judged", "C")
    assert {reason for reason, _ in decision(rows, judges=[]).values()} == {"not_judged"}


def test_an_unread_try_yields_to_a_read_one_and_contradictions_are_unread():
    first = first_order("a", "j")
    rows = [("a", "j", first, None), ("a", "j", first, "chosen")]
    assert decision(rows)["a"] == (None, None)
    assert decision(reversed([*rows, ("a", "j", first, "rejected")]))["a"] == ("invalid", "j")
    assert decision([("a", "j", first, "maybe")])["a"] == ("invalid", "j")


@pytest.mark.parametrize("rule", RULES)
def test_flipping_every_vote_flips_the_kept_set(rule):
    """Of one judge's right, unsure and wrong pairs the default keeps the first two, flipped the last two."""
    kinds = {"right": ("chosen", "chosen"), "unsure": ("chosen", "rejected"), "wrong": ("rejected", "rejected")}
    rows = [row for pair, both in kinds.items() for row in in_asking_order(pair, "j", *both)]
    other = {"chosen": "rejected", "rejected": "chosen"}
    flipped = [(pair, judge, order, other[vote]) for pair, judge, order, vote in rows]
    kept = [
        {pair for pair, (reason, _) in decision(table, rule).items() if reason is None} for table in (rows, flipped)
    ]
    assert kept == ([{"right", "unsure"}, {"unsure", "wrong"}] if rule == DEFAULT_RULE else [{"right"}, {"wrong"}])


def test_unknown_rules_and_orders_are_named():
    with pytest.raises(ConfigError, match="no rule 'most' for judges; known are no_judge_prefers_rejected"):
        rule_named("most")
    with pytest.raises(InputError, match="the order 'both'"):
        judges_of(votes(("a", "j", "both", "chosen")))
    assert judges_of(JUDGMENTS.empty()) == ()


def test_two_votes_are_a_verdict():
    rows = []
    kinds = {
        "right": ("chosen", "chosen"),
        "wrong": ("rejected", "rejected"),
        "unsure": ("rejected", "chosen"),
        "invalid": ("chosen", None),
        "partial": ("rejected",),
    }
    for kind, both in kinds.items():
        rows += in_asking_order(kind, "j", *both)
    rows += in_asking_order("unread alone", "j", None)
    found = verdicts(votes(*rows)).collect()
    assert found.columns == ["pair_id", "judge", "verdict"]
    said = {pair: verdict for pair, _, verdict in found.iter_rows()}
    assert said == {**{kind: kind for kind in kinds}, "unread alone": "invalid"}


def test_questions_come_one_at_a_time():
    """Two judges, the default rule: A first; B once A is settled; a second vote only after a first for rejected."""
    none = JUDGMENTS.empty()
    assert next_questions(none, ["p"], ["A", "B"]).rows() == [("p", "A", first_order("p", "A"))]
    against = in_asking_order("p", "A", "rejected", "rejected")
    assert next_questions(votes(against[0]), ["p"], ["A", "B"]).rows() == [("p", "A", against[1][2])]
    assert next_questions(votes(*against), ["p"], ["A", "B"]).is_empty()
    pro = in_asking_order("p", "A", "chosen")
    assert next_questions(votes(*pro), ["p"], ["A", "B"]).rows() == [("p", "B", first_order("p", "B"))]
    assert next_questions(votes(*pro), ["p"], ["A"]).is_empty()
    assert next_questions(votes(*pro), ["p"], ["A", "B"], "all_right").rows()[0][1] == "A"
    unread = in_asking_order("p", "A", None)
    assert next_questions(votes(*unread), ["p"], ["A", "B"]).is_empty()


def test_questions_keep_the_order_given_and_ask_nothing_twice():
    asked = next_questions(JUDGMENTS.empty(), ["z", "a", "z"], ["J"])
    assert asked["pair_id"].to_list() == ["z", "a"]
    assert asked.schema == {"pair_id": pl.String, "judge": pl.String, "order": pl.String}
    assert next_questions(JUDGMENTS.empty(), [], ["J"]).is_empty()
    assert next_questions(JUDGMENTS.empty(), ["a"], []).is_empty()


def test_a_share_is_judged_in_full():
    """Of 2,000 pairs 5 %: 100, give or take 5 standard deviations (49); the same for every judge, however asked."""
    ids = [digest(number) for number in range(2000)]
    asked = next_questions(JUDGMENTS.empty(), ids, ["A", "B"], full_share=0.05)
    both = asked.group_by("pair_id", "judge").len().filter(pl.col("len") == 2)
    full = [set(both.filter(pl.col("judge") == judge)["pair_id"]) for judge in "AB"]
    assert full[0] == full[1]
    assert abs(len(full[0]) - 100) < 49
    only_b = next_questions(JUDGMENTS.empty(), ids, ["A", "B"], full_share={"B": 0.05})
    assert set(only_b.filter(pl.col("judge") == "B")["pair_id"]) == full[0]
    assert next_questions(JUDGMENTS.empty(), ids, ["A"], full_share=1.0).height == 4000
    done = votes(*((pair, judge, order, "rejected") for pair in full[0] for judge in "AB" for order in ORDERS))
    assert next_questions(done, sorted(full[0]), ["A", "B"], full_share=1.0).is_empty()


VOTE = st.sampled_from(["chosen", "rejected", None])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(VOTE, min_size=6, max_size=6), min_size=1, max_size=8),
    st.integers(1, 3),
    st.sampled_from(list(RULES)),
    st.sampled_from([0.0, 0.4, 1.0]),
)
def test_frugal_judging_decides_as_exhaustive_judging(given_votes, judge_count, rule, share):
    """Asking only what `next_questions` wants, until it wants nothing, gives each pair the same reason and detail."""
    judges = ["zeta", "alpha", "mu"][:judge_count]
    ids = [digest(number) for number in range(len(given_votes))]
    answers = {
        (pair, judge, order): both[2 * j + o]
        for pair, both in zip(ids, given_votes, strict=True)
        for j, judge in enumerate(judges)
        for o, order in enumerate(ORDERS)
    }
    asked = {}
    while questions := next_questions(votes(*((*k, v) for k, v in asked.items())), ids, judges, rule, share).rows():
        assert not set(questions) & set(asked)
        asked |= {question: answers[question] for question in questions}
    frugal = decision([(*key, vote) for key, vote in asked.items()], rule, judges)
    assert frugal == decision([(*key, vote) for key, vote in answers.items()], rule, judges)
    assert set(frugal) == set(ids)
    assert all(reason != "not_judged" for reason, _ in frugal.values())
    if share == 1.0:
        assert len(asked) == len(answers)
