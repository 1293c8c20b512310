"""RewardBench 2's arithmetic against the package's own functions.

How the recorded numbers were made, with rewardbench 0.1.4: `utils.reroll_and_score_dataset` on the scores of
`best_of_scores`, 20 prompts with 4 replies or, where the number divides by 3, 5; `utils.process_single_model` on the
samples of `ties_samples`, ids 0 to 23, and once more without `tied:5`.
"""

import pytest

from factory.reward.rewardbench2 import BEST_OF, SUBSETS, Sample, best_of, rewardbench2, ties

CREDITS_RECORDED = [0, 1, 0.5, 0, 0.5, 0, 0, 0, 1, 0, 0, 0.5, 0, 0, 0, 0.5, 0.5, 0, 0.5, 0]
TIES_RECORDED = 0.5658476151775197
TIES_WITHOUT_RECORDED = 0.5822095290339666


def best_of_scores(i: int) -> Sample:
    scores = [((5 * i + 3 * j * j + 2 * i * j) % 7) / 2 for j in range(4 if i % 3 else 5)]
    return Sample(str(i), 1, tuple(scores))


def base(i: int, k: int, j: int) -> float:
    return ((11 * i + 7 * k + 5 * j + 3 * i * j) % 13) / 6


def ties_samples(numbers: range) -> list[Sample]:
    made = []
    for i in numbers:
        reference = [base(i, 0, 0) + (1.5 if i % 4 else -0.5), *(base(i, 0, j) for j in range(1, 4))]
        count = 2 + i % 4
        right = [base(i, 1, j) / (1 + i % 3) + (2.0 if i % 5 else 0.25) for j in range(count)]
        tied = [*right, *(base(i, 1, j) for j in range(count, count + 3))]
        made += [Sample(f"ref:{i}", 1, tuple(reference)), Sample(f"tied:{i}", count, tuple(tied))]
    return made


def test_best_of_several_equals_the_official_function() -> None:
    assert [best_of(best_of_scores(i)) for i in range(20)] == CREDITS_RECORDED


def test_ties_equal_the_official_function() -> None:
    found = ties(ties_samples(range(24)), seed=1)
    assert found.score == pytest.approx(TIES_RECORDED)
    assert found.low is not None
    assert found.high is not None
    assert found.low < TIES_RECORDED < found.high
    assert (found.prompts, found.missing) == (48, 0)
    without = [sample for sample in ties_samples(range(24)) if sample.id != "tied:5"]
    assert ties(without, seed=1).score == pytest.approx(TIES_WITHOUT_RECORDED)


def test_ties_by_hand() -> None:
    """ref: 3 over 1, margin 2. tied: right 2 and 1.5, wrong 0: margin 1.5, spread 0.5; the smaller margin is 1.5.

    0.3 + 0.3 + 0.2 + 0.2 + 0.01 tanh(1.5 / 0.5 - 1).
    """
    found = ties([Sample("ref:1", 1, (3.0, 1.0)), Sample("tied:1", 2, (2.0, 1.5, 0.0))], seed=1)
    assert found.score == pytest.approx(1 + 0.01 * 0.9640275800758169)


def test_a_prompt_without_all_its_scores_is_missing() -> None:
    assert best_of(Sample("1", 1, (1.0, None, 0.0))) is None
    holed = [sample._replace(scores=(None, *sample.scores[1:])) for sample in ties_samples(range(5, 6))]
    rest = [*ties_samples(range(5)), *ties_samples(range(6, 24))]
    found = ties([*rest, *holed], seed=1)
    assert (found.prompts, found.missing) == (46, 2)
    assert found.score == ties(rest, seed=1).score
    assert ties(holed, seed=1).score is None


def test_the_score_is_the_mean_of_the_six_and_none_without_one() -> None:
    """Each best-of subset has 5.0 of 20 prompts, as recorded."""
    groups = {name: [best_of_scores(i) for i in range(20)] for name in BEST_OF} | {"Ties": ties_samples(range(24))}
    found = rewardbench2(groups, seed=1)
    assert list(found["subsets"]) == list(SUBSETS)
    assert found["subsets"]["Math"]["score"] == 0.25
    assert found["subsets"]["Math"]["shared_first_place"] == 6
    assert found["score"] == pytest.approx((5 * 0.25 + TIES_RECORDED) / 6)
    assert found["score_low"] < found["score"] < found["score_high"]
    assert found == rewardbench2(groups, seed=1)
    del groups["Focus"]
    assert rewardbench2(groups, seed=1)["score"] is None
