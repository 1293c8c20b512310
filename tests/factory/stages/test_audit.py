"""The report: the paper's accuracies, intervals, biases, strata, agreement and gold labels, worked by hand."""

from typing import Any

import polars as pl
import pytest

import factory
from factory.identity import digest
from factory.schema import JUDGMENTS, PAIRS, conform
from factory.stages.audit import report as report_of
from factory.stages.audit_model import AuditReport

VOTES = {
    "right": ("chosen", "chosen"),
    "wrong": ("rejected", "rejected"),
    "unsure": ("chosen", "rejected"),
    "invalid": ("chosen", None),
}


def report(pairs: pl.DataFrame, votes: pl.DataFrame, *given: Any, **more: Any) -> AuditReport:
    return report_of(pairs.lazy(), [votes], *given, **more)


def pair(number: int, chosen: int = 5, rejected: int = 5, **fields: Any) -> dict[str, Any]:
    """A pair whose replies have these lengths; two pairs a prompt."""
    return {
        "pair_id": digest(["pair", number]),
        "prompt_id": digest(["prompt", number // 2]),
        "prompt": [{"role": "user", "content": "q"}],
        "chosen": "c" * chosen,
        "rejected": "r" * rejected,
        **fields,
    }


def table(pairs: list[dict[str, Any]]) -> pl.DataFrame:
    overrides = {name: PAIRS.columns[name].dtype for name in ("prompt", "iteration", "feature")}
    return conform(pl.DataFrame(pairs, schema_overrides=overrides), PAIRS)


def judged(verdicts: list[str], judge: str = "J", **fields: Any) -> pl.DataFrame:
    rows = []
    for number, verdict in enumerate(verdicts):
        for order, vote in zip(("chosen_first", "rejected_first"), VOTES[verdict], strict=True):
            rows.append({"pair_id": digest(["pair", number]), "judge": judge, "order": order, "vote": vote, **fields})
    return conform(pl.DataFrame(rows, schema_overrides={"vote": pl.String}), JUDGMENTS)


def of(right: int, unsure: int, wrong: int, invalid: int = 0) -> AuditReport:
    verdicts = ["right"] * right + ["unsure"] * unsure + ["wrong"] * wrong + ["invalid"] * invalid
    return report(table([pair(number) for number in range(len(verdicts))]), judged(verdicts), "J", seed=1)


def test_the_paper_s_two_accuracies_have_their_interval() -> None:
    """161 right, 35 unsure, 4 wrong of 200: 80.5 % and 98 %. Wilson at z^2 = 3.841459:

    (0.805 + 0.009604 ± 1.959964 sqrt(0.805 x 0.195 / 200 + 0.009604 / 400)) / 1.019207... = 0.744560 and 0.853945.
    """
    found = of(161, 35, 4, invalid=7)
    assert (found.n, found.right, found.unsure, found.wrong, found.invalid, found.pairs) == (200, 161, 35, 4, 7, 207)
    assert found.accuracy_without_unsure == pytest.approx(0.805, abs=1e-6)
    assert found.accuracy_with_unsure == pytest.approx(0.98, abs=1e-6)
    assert found.wilson_low == pytest.approx(0.744560, abs=1e-6)
    assert found.wilson_high == pytest.approx(0.853945, abs=1e-6)
    assert found.flip_rate == pytest.approx(35 / 200)
    assert found.said[0].startswith("first word “ccccc” in 100 % of chosen and 0 % of rejected")
    assert found.bootstrap_low is not None
    assert found.bootstrap_high is not None
    assert found.bootstrap_low < 0.805 < found.bootstrap_high


def test_nothing_readable_is_unknown_and_never_nothing() -> None:
    found = of(0, 0, 0, invalid=3)
    assert (found.n, found.invalid) == (0, 3)
    unknown = {
        "accuracy_without_unsure",
        "accuracy_with_unsure",
        "wilson_low",
        "wilson_high",
        "bootstrap_low",
        "bootstrap_high",
        "flip_rate",
        "always_longer_accuracy",
        "prompt_tokens",
        "completion_tokens",
        "cost",
    }
    values = found.model_dump()
    assert {name for name in unknown if values[name] is not None} == set()
    assert found.headline()["  95 % interval"] is None


def test_pairs_without_votes_are_invalid() -> None:
    pairs = table([pair(number) for number in range(3)])
    found = report(pairs, judged(["right"]), "J", seed=1)
    assert (found.n, found.right, found.invalid) == (1, 1, 2)
    one_order = judged(["right"]).head(1)
    assert report(pairs, one_order, "J", seed=1).invalid == 3


def test_first_slot_rate_counts_every_readable_vote() -> None:
    """right: one vote for each slot; unsure, here: both for the first; invalid: one for the first, one unread."""
    assert of(2, 0, 2).first_slot_rate == 0.5
    assert of(1, 1, 0).first_slot_rate == pytest.approx(3 / 4)
    assert of(0, 0, 0, invalid=1).first_slot_rate == 1.0


def test_lengths_are_told_by_verdict_and_equal_ones_stand_aside() -> None:
    """Four decided pairs of unequal length, the longer reply preferred in the 1st and 2nd; equal lengths are aside."""
    pairs = [pair(0, 9, 5), pair(1, 3, 5), pair(2, 3, 5), pair(3, 9, 5), pair(4, 5, 5), pair(5, 9, 5)]
    verdicts = ["right", "wrong", "right", "wrong", "right", "unsure"]
    found = report(table(pairs), judged(verdicts), "J", seed=1)
    assert found.longer_chosen_rate == pytest.approx(3 / 6)
    assert found.always_longer_accuracy == pytest.approx(2 / 4)
    rows = {row.verdict: row for row in found.lengths}
    assert [rows[name].pairs for name in ("all", "right", "unsure", "wrong", "invalid")] == [6, 3, 1, 2, 0]
    assert (rows["right"].chosen_mean, rows["right"].rejected_median) == (pytest.approx(17 / 3), 5)
    assert rows["invalid"].chosen_mean is None
    assert rows["invalid"].longer_chosen_rate is None
    assert sum(row.right + row.unsure + row.wrong + row.invalid for row in found.gaps) == 6
    assert [row.low for row in found.gaps] == sorted(row.low for row in found.gaps)


def test_equal_gaps_share_a_bin() -> None:
    found = of(5, 2, 1, invalid=1)
    assert [row.model_dump() for row in found.gaps] == [
        {"low": 0, "high": 0, "right": 5, "unsure": 2, "wrong": 1, "invalid": 1}
    ]


def test_strata_are_iteration_and_feature_with_a_row_for_none() -> None:
    pairs = [
        pair(0, iteration=1, feature="Safety"),
        pair(1, iteration=1, feature="Safety"),
        pair(2, iteration=2, feature="Safety"),
        pair(3, iteration=2, feature=None),
        pair(4, iteration=None, feature=None),
    ]
    found = report(table(pairs), judged(["right", "wrong", "unsure", "invalid", "right"]), "J", seed=1)
    shown = [(s.iteration, s.feature, s.n, s.right, s.unsure, s.wrong, s.invalid) for s in found.strata]
    assert shown == [
        (1, "Safety", 2, 1, 0, 1, 0),
        (2, "Safety", 1, 0, 1, 0, 0),
        (2, None, 0, 0, 0, 0, 1),
        (None, None, 1, 1, 0, 0, 0),
    ]
    assert found.strata[0].accuracy_without_unsure == 0.5
    assert found.strata[0].wilson_low == pytest.approx(0.094531, abs=1e-6)  # 0.5 - z / (2 sqrt(2 + z^2))
    assert found.strata[2].accuracy_without_unsure is None


def test_requests_tokens_and_money_are_the_judges_own() -> None:
    votes = judged(["right", "wrong"], prompt_tokens=100, completion_tokens=2, cost=0.25, tries=3)
    others = judged(["right", "wrong"], judge="K", prompt_tokens=9, completion_tokens=9, cost=9.0, tries=9)
    found = report(table([pair(0), pair(1)]), pl.concat([votes, others]), "J", seed=1)
    assert (found.requests, found.prompt_tokens, found.completion_tokens, found.cost) == (12, 400, 8, 1.0)
    recorded = report(table([pair(0), pair(1)]), judged(["right", "wrong"]), "J", seed=1)
    assert (recorded.requests, recorded.prompt_tokens, recorded.cost) == (4, None, None)


def test_agreement_of_judges_counts_what_both_could_read() -> None:
    """Verdicts J: right right wrong wrong unsure, K: right wrong wrong wrong invalid: on 4 both read, agreement 3/4.

    p_e = (2 x 1 + 2 x 3) / 16 = 0.5, kappa = (0.75 - 0.5) / 0.5 = 0.5.
    Votes: 9 read by both (K's last second vote is not); K differs in the two votes of pair 2: 7/9.
    J votes chosen in 4 + 1 of the 9, K in 2 + 1: p_e = (5 x 3 + 4 x 6) / 81 = 39/81; kappa = (63 - 39) / (81 - 39).
    """
    votes = pl.concat(
        [
            judged(["right", "right", "wrong", "wrong", "unsure"]),
            judged(["right", "wrong", "wrong", "wrong", "invalid"], judge="K"),
        ]
    )
    found = report(table([pair(number) for number in range(5)]), votes, "J", seed=1)
    on_verdicts, on_votes = found.agreement
    assert (on_verdicts.judges, on_verdicts.on, on_verdicts.n) == (("J", "K"), "verdicts", 4)
    assert (on_verdicts.agreement, on_verdicts.kappa) == (0.75, pytest.approx(0.5))
    assert (on_votes.on, on_votes.n) == ("votes", 9)
    assert (on_votes.agreement, on_votes.kappa) == (pytest.approx(7 / 9), pytest.approx(24 / 42))


def test_agreement_looks_at_the_audited_pairs_alone_and_at_every_two_judges() -> None:
    votes = pl.concat([judged(["right", "wrong"], judge=name) for name in ("B", "J", "A")])
    found = report(table([pair(0)]), votes, "J", seed=1)
    assert [(row.judges, row.n) for row in found.agreement if row.on == "verdicts"] == [
        (("J", "A"), 1),
        (("J", "B"), 1),
        (("A", "B"), 1),
    ]


def test_labels_of_people_measure_judge_and_chosen() -> None:
    """right on chosen is right, right on rejected wrong, wrong on rejected right; unsure stays; a tie, and no label."""
    labels = ["chosen", "rejected", "rejected", "chosen", "tie", None]
    pairs = table([pair(number) for number in range(6)])
    gold = pairs.select("pair_id", gold=pl.Series(labels)).drop_nulls()
    found = report(pairs, judged(["right", "right", "wrong", "unsure", "right", "right"]), "J", seed=1, gold=gold)
    assert found.gold is not None
    assert (found.gold.labelled, found.gold.chosen_right) == (5, 2 / 5)
    assert (found.gold.n, found.gold.right, found.gold.unsure, found.gold.wrong) == (4, 2, 1, 1)
    assert (found.gold.accuracy_without_unsure, found.gold.accuracy_with_unsure) == (0.5, 0.75)
    assert report(pairs, judged(["right"]), "J", seed=1).gold is None


def test_without_labels_it_is_agreement_and_with_them_accuracy() -> None:
    """12 right, 4 wrong, 3 unsure, 1 unread; then 10 labels, 7 of them for chosen, and pairs nobody was asked about."""
    verdicts = ["right"] * 12 + ["wrong"] * 4 + ["unsure"] * 3 + ["invalid"]
    pairs = table([pair(number) for number in range(25)])
    votes = judged(verdicts)
    found = report(pairs, votes, "J", seed=1)
    assert found.accuracy_decided == 12 / 16
    assert found.estimate is not None
    assert (found.measure, found.estimate.method, found.estimate.n) == ("agreement", "agreement", 25)
    assert (found.estimate.accuracy, found.estimate.low) == (found.accuracy_without_unsure, found.bootstrap_low)
    assert found.wilson_low is not None
    assert found.estimate.low is not None
    assert found.estimate.low < found.wilson_low, "two pairs a prompt"
    assert "63.2 % (30.4 % to 87.1 %) is agreement: so often J" in found.meaning
    assert found.headline()["  95 % interval"] == "30.4 % to 87.1 %"
    assert found.headline()["agreement with the judge: right / n"] == "63.2 %", "said in one way"
    assert "no accuracy" in found.meaning
    assert [name for name in found.headline() if "accura" in name] == []
    gold = pairs.select("pair_id", gold=pl.Series(["chosen"] * 7 + ["rejected", "tie", "rejected"] + [None] * 15))
    labelled = report(pairs, votes, "J", seed=1, gold=gold.drop_nulls())
    assert labelled.estimate is not None
    expected = factory.estimate(votes, gold.select("pair_id", right=pl.col("gold") == "chosen"))
    assert (labelled.measure, labelled.estimate.n, labelled.estimate.n_gold) == ("accuracy", 25, 10)
    assert (expected.n, expected.n_gold) == (20, 10)
    assert labelled.meaning.startswith("Accuracy ")
    assert "of all 25 pairs are labelled right, by 10 labels of people" in labelled.meaning


def test_labels_of_pairs_that_were_picked_are_told() -> None:
    """60 right and 40 wrong: the first 30 are all right, every third one is as all are."""
    pairs = table([pair(number) for number in range(100)]).sort("pair_id")
    votes = judged(["right"] * 60 + ["wrong"] * 40)
    ids = [pair(number)["pair_id"] for number in range(100)]
    for labelled, told in ((ids[:30], True), (ids[::3], False), (ids, False), ([], False)):
        gold = pl.DataFrame(
            {"pair_id": labelled, "gold": "chosen"}, schema=dict.fromkeys(("pair_id", "gold"), pl.String)
        )
        found = report(pairs, votes, "J", seed=1, gold=gold)
        assert ("hardly drawn at random" in found.meaning) == told


def test_copies_of_a_judge_are_worth_one_together() -> None:
    """Two copies of one judge are worth one; right and unsure pairs by the mean of all votes; one judge has none."""
    pairs = table([pair(number) for number in range(6)])
    verdicts = ["right", "right", "wrong", "unsure", "invalid", "wrong"]
    votes = pl.concat([judged(verdicts, "J"), judged(verdicts, "K")])
    found = report(pairs, votes, "J", seed=1).together
    assert found is not None
    assert (found.judges, found.method, found.effective_from) == (["J", "K"], "vote", "votes")
    assert found.effective_judges == pytest.approx(1)
    assert (found.right, found.unsure, found.wrong) == (3, 1, 2)
    assert report(pairs, judged(verdicts), "J", seed=1).together is None


def test_the_order_of_rows_means_nothing() -> None:
    pairs = [pair(n, 3 + n % 4, 5, iteration=n % 2, feature=f"f{n % 3}") for n in range(24)]
    votes = judged(["right", "unsure", "wrong", "invalid", "right", "right"] * 4)
    first = report(table(pairs), votes, "J", seed=1)
    assert report(table(pairs[::-1]), votes.reverse(), "J", seed=1) == first
    assert AuditReport.model_validate_json(first.model_dump_json()) == first


def test_flipping_every_vote_turns_right_into_wrong() -> None:
    votes = judged(["right", "right", "wrong", "unsure"])
    flipped = votes.with_columns(vote=pl.col("vote").replace({"chosen": "rejected", "rejected": "chosen"}))
    pairs = table([pair(number) for number in range(4)])
    one, two = (report(pairs, table_, "J", seed=1) for table_ in (votes, flipped))
    assert (one.right, one.unsure, one.wrong) == (2, 1, 1)
    assert (two.right, two.unsure, two.wrong) == (1, 1, 2)


def test_a_table_in_parts_gives_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two judges, one of whom was not asked of all, and labels: counted seven pairs at a time."""
    pairs = table([pair(n, 3 + n % 4, 5, iteration=n % 2, feature=f"f{n % 3}") for n in range(24)]).sort("pair_id")
    verdicts = ["right", "unsure", "wrong", "invalid", "right", "right", "wrong", "right"] * 3
    mine = judged(verdicts, prompt_tokens=3, cost=0.25)
    votes = pl.concat([mine, judged(verdicts[::-1], judge="K").filter(pl.col("pair_id") > "4")])
    gold = pairs.select("pair_id", gold=pl.Series(["chosen", "rejected", None] * 8)).drop_nulls()
    for labels in (None, gold):
        whole = report(pairs, votes, "J", seed=1, gold=labels)
        monkeypatch.setattr("factory.stages.parts.AT_ONCE", 7)
        said = [votes.join(pairs[at : at + 7], on="pair_id", how="semi") for at in range(0, 24, 7)]
        assert report_of(pairs.lazy(), said, "J", seed=1, gold=labels) == whole
        monkeypatch.undo()
