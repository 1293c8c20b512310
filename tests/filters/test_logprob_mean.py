"""The filter of the authors' code, step by step on numbers worked by hand, and against it written out plainly."""

import math
import random
from statistics import fmean

import pytest

from filters import build
from filters.funnel import apply
from tests.filters.table import lazily, row, run, table

VIEWS = ("good", "plain", "bad")


def scored(tag, chosen, rejected):
    """Log-probabilities under (good, plain, bad)."""
    both = (("chosen", chosen), ("rejected", rejected))
    logps = {f"logp_{reply}_{view}": n for reply, ns in both for view, n in zip(VIEWS, ns, strict=True)}
    return row(tag, **logps)


def test_what_is_less_likely_than_the_mean_is_off_policy():
    """Means under the plain view are -2 for chosen and -3 for rejected."""
    pairs = table(
        [
            scored("at the mean", (0, -2.0, 0), (0, -3.0, 0)),
            scored("above", (0, -1.0, 0), (0, -2.0, 0)),
            scored("chosen below", (0, -2.5, 0), (0, -2.0, 0)),
            scored("rejected below", (0, -1.0, 0), (0, -4.0, 0)),
            scored("both below", (0, -3.5, 0), (0, -4.0, 0)),
        ]
    )
    assert run({"use": "logprob_mean"}, pairs).reasons == {
        "at the mean": None,
        "above": None,
        "chosen below": "chosen_off_policy",
        "rejected below": "rejected_off_policy",
        "both below": "both_off_policy",
    }


def test_a_gap_must_be_above_the_mean():
    """Gaps of chosen (good - bad) are 1, 2, 3, of rejected (bad - good) 4, 2, 3: means 2 and 3."""
    pairs = table(
        [
            scored("narrow chosen", (-1.0, 0, -2.0), (-5.0, 0, -1.0)),
            scored("neither above", (-1.0, 0, -3.0), (-3.0, 0, -1.0)),
            scored("rejected at the mean", (-1.0, 0, -4.0), (-4.0, 0, -1.0)),
        ]
    )
    assert run({"use": "logprob_mean", "of": "gap"}, pairs).reasons == {
        "narrow chosen": "chosen_small_gap",
        "neither above": "both_small_gap",
        "rejected at the mean": "rejected_small_gap",
    }


@pytest.mark.parametrize("missing", [None, math.nan, -math.inf])
def test_a_pair_without_a_number_counts_in_no_mean(missing):
    pairs = table(
        [
            scored("low", (0, -2.0, 0), (0, -2.0, 0)),
            scored("high", (0, -1.0, 0), (0, -1.0, 0)),
            scored("unscored", (0, missing, 0), (0, 90.0, 0)),
        ]
    )
    wanted = {"low": "both_off_policy", "high": None, "unscored": "unscored"}
    assert run({"use": "logprob_mean"}, pairs).reasons == wanted


def test_equal_pairs_are_all_kept_or_all_dropped():
    pairs = table([scored(str(n), (-0.1, -0.3, -0.7), (-0.7, -0.3, -0.1)) for n in range(7)])
    assert set(run({"use": "logprob_mean"}, pairs).reasons.values()) == {None}
    assert set(run({"use": "logprob_mean", "of": "gap"}, pairs).reasons.values()) == {"both_small_gap"}


def by_hand(pairs):
    """Which of {tag: logps} the authors' rule keeps."""
    c, r = ("logp_chosen_", "logp_rejected_")
    left = {
        tag: p
        for tag, p in pairs.items()
        if p[c + "good"] > p[c + "plain"] > p[c + "bad"] and p[r + "bad"] > p[r + "plain"] > p[r + "good"]
    }
    for pick in (
        lambda p: (p[c + "plain"], p[r + "plain"]),
        lambda p: (p[c + "good"] - p[c + "bad"], p[r + "bad"] - p[r + "good"]),
    ):
        means = [fmean(column) for column in zip(*map(pick, left.values()), strict=True)]
        left = {tag: p for tag, p in left.items() if all(n >= mean for n, mean in zip(pick(p), means, strict=True))}
    return set(left)


def test_the_preset_keeps_what_the_authors_rule_keeps():
    dice = random.Random(3)
    means = (-0.5, -0.9, -1.3), (-1.4, -1.0, -0.6)
    rows = [scored(str(n), *([dice.gauss(mean, 0.3) for mean in views] for views in means)) for n in range(400)]
    found = apply(lazily(table(rows)), build([{"use": "authors_logprobs"}]))
    kept = set(found.kept.collect()["tag"])
    assert kept == by_hand({one["tag"]: one for one in rows})
    assert [step.filter for step in found.funnel.steps] == ["logprob_order", "logprob_mean", "logprob_mean"]
    assert all(step.rejected > 10 for step in found.funnel.steps)
    assert len(kept) > 5
