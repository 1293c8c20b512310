import pytest

from factory.errors import ConfigError
from factory.schema import JUDGMENTS
from tests.filters.table import row, run, table, votes

PAIRS = table(
    [row("right", chosen="a"), row("unsure", chosen="b"), row("wrong", chosen="c"), row("unasked", chosen="d")]
)
RIGHT, UNSURE, WRONG, _ = PAIRS["pair_id"]
BOTH = ("chosen_first", "rejected_first")
JUDGED = votes(
    *((RIGHT, "A", order, "chosen") for order in BOTH),
    *((UNSURE, "A", order, vote) for order, vote in zip(BOTH, ("chosen", "rejected"), strict=True)),
    *((WRONG, "A", order, "rejected") for order in BOTH),
    *((RIGHT, "B", order, "rejected") for order in BOTH),
)


@pytest.mark.parametrize(
    ("rule", "unsure", "wrong"),
    [
        ("no_judge_prefers_rejected", None, "prefers_rejected"),
        ("no_vote_for_rejected", "vote_for_rejected", "vote_for_rejected"),
        ("all_right", "not_right", "not_right"),
    ],
)
def test_each_rule_drops_what_it_names(rule, unsure, wrong):
    found = run({"use": "judge_agrees", "rule": rule, "judges": ["A"]}, PAIRS, JUDGED)
    assert found.reasons == {"right": None, "unsure": unsure, "wrong": wrong, "unasked": "not_judged"}
    assert found.details["wrong"] == "A"


def test_every_judge_in_the_judgments_counts_unless_named():
    found = run({"use": "judge_agrees"}, PAIRS, JUDGED)
    assert found.reasons["right"] == "prefers_rejected"
    assert found.details == {"right": "B", "unsure": "B", "wrong": "A", "unasked": "A"}


def test_a_judge_that_judged_nothing_leaves_pairs_unjudged():
    found = run({"use": "judge_agrees", "judges": ["A", "C"]}, PAIRS, JUDGED)
    assert found.reasons["right"] == "not_judged"
    assert found.details["right"] == "C"


def test_without_votes_no_pair_passes_and_without_a_table_none_is_judged():
    assert set(run({"use": "judge_agrees"}, PAIRS, JUDGMENTS.empty()).reasons.values()) == {"not_judged"}
    with pytest.raises(ConfigError, match=r"^the filter judge_agrees needs votes"):
        run({"use": "judge_agrees"}, PAIRS)
