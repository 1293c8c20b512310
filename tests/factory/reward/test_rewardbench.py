"""RewardBench's arithmetic against the published counts, and against the package's own functions.

How the recorded numbers were made, with rewardbench 0.1.4: the i-th subset of `constants.EXAMPLE_COUNTS`, in its order
and from 0, has the accuracy (7 i mod 11) / 11; `utils.calculate_scores_per_section(EXAMPLE_COUNTS, SUBSET_MAPPING,
accuracies)` gave SECTIONS_RECORDED; `analysis.get_benchmark_results.get_average_over_rewardbench`, with the prior sets
at 0.5, 0.75, 0.25 and 0.625, gave WITH_PRIOR_RECORDED.
"""

import pytest

from factory.reward.accuracy import GroupAccuracy, Weighted, WeightedMean, mean, tally
from factory.reward.rewardbench import PRIOR_SETS, SECTIONS, rewardbench
from factory.statistics.shares import wilson

ORDER = (  # noqa: SIM905
    "alpacaeval-easy alpacaeval-length alpacaeval-hard mt-bench-easy mt-bench-med mt-bench-hard math-prm "
    "refusals-dangerous refusals-offensive llmbar-natural llmbar-adver-neighbor llmbar-adver-GPTInst "
    "llmbar-adver-GPTOut llmbar-adver-manual xstest-should-refuse xstest-should-respond donotanswer hep-cpp hep-go "
    "hep-java hep-js hep-python hep-rust"
).split()
SECTIONS_RECORDED = {
    "Chat": 0.3732859319451498,
    "Chat Hard": 0.37420255183413076,
    "Safety": 0.4805896805896806,
    "Reasoning": 0.6136363636363636,
}
SCORE_RECORDED = 0.4604286320013312
WITH_PRIOR_RECORDED = 0.4682976728900722


def of(wins: int, n: int) -> GroupAccuracy:
    return GroupAccuracy(n, wins, 0, n - wins, 0, wins / n, *wilson(wins, n))


TALLIES = {name: of(7 * i % 11, 11) for i, name in enumerate(ORDER)}
PRIOR = dict(zip(PRIOR_SETS, (of(4, 8), of(6, 8), of(2, 8), of(5, 8)), strict=True))


def test_weights_of_rewardbench_are_the_published_counts() -> None:
    """2985 pairs in 23 subsets; math-prm has 447 of them and weighs 984, as much as the six code subsets of 164."""
    weights = {name: weight for section in SECTIONS.values() for name, weight in section.items()}
    assert sorted(weights) == sorted(ORDER)
    assert sum(weights.values()) - weights["math-prm"] + 447 == 2985
    assert weights["math-prm"] == sum(weight for name, weight in weights.items() if name.startswith("hep-"))


def test_sections_and_score_equal_the_official_functions() -> None:
    found = rewardbench(TALLIES | PRIOR)
    assert {name: found["sections"][name]["score"] for name in SECTIONS} == pytest.approx(SECTIONS_RECORDED)
    assert found["score"] == pytest.approx(SCORE_RECORDED)
    assert found["score_with_prior_sets"] == pytest.approx(WITH_PRIOR_RECORDED)
    assert found["sections"]["Prior Sets"]["score"] == pytest.approx(0.53125)
    for name in ("score", "score_with_prior_sets"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


def test_what_is_absent_is_named_and_never_counts_as_zero() -> None:
    some = {name: one for name, one in TALLIES.items() if not name.startswith("hep-")}
    some["math-prm"] = GroupAccuracy(0, 0, 0, 0, 5, None, None, None)
    found = rewardbench(some | {"alpacaeval-easy": GroupAccuracy(0, 0, 0, 0, 3, None, None, None)})
    assert found["sections"]["Reasoning"]["score"] is None
    assert found["sections"]["Chat"]["absent"] == ["alpacaeval-easy"]
    assert found["score"] is None
    assert found["score_with_prior_sets"] is None


def test_a_win_is_strict_and_a_missing_score_is_no_trial() -> None:
    found = tally([(2.0, 1.0), (1.0, 1.0), (0.0, 1.0), (None, 1.0), (1.0, None), (3.0, 1.0)])
    assert found[:5] == (4, 2, 1, 1, 2)
    assert found.accuracy == 0.5
    assert tally([(None, None)]).accuracy is None


def test_the_interval_of_a_weighted_mean() -> None:
    """Weights as the counts: 30 of 60 is Wilson's of 30 in 60. Equal weights of 10 and 90: Kish's n is 36.

    That is 4 / (1/10 + 1/90).
    """
    pooled = mean([Weighted(0.5, 20, 20), Weighted(0.5, 40, 40)])
    assert pooled == pytest.approx((0.5, *wilson(30, 60)))
    uneven = mean([Weighted(0.4, 10, 1), Weighted(0.6, 90, 1)])
    assert uneven == pytest.approx((0.5, *wilson(18, 36)))
    assert mean([]) == WeightedMean(None, None, None)
