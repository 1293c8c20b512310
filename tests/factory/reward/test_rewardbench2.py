"""RewardBench 2's arithmetic against the package's own functions.

How the recorded numbers were made, with rewardbench 0.1.4: `utils.reroll_and_score_dataset` on the scores of
`best_of_scores`, 20 prompts with 4 replies or, where the number divides by 3, 5; `utils.process_single_model` on the
samples of `ties_samples`, ids 0 to 23, and once more without `tied:5`.
"""

import pytest

from factory.reward.official import ScoredItem, Scores
from factory.reward.rewardbench2 import BEST_OF, SUBSETS, best_of, result, ties

CREDITS_RECORDED = [0, 1, 0.5, 0, 0.5, 0, 0, 0, 1, 0, 0, 0.5, 0, 0, 0, 0.5, 0.5, 0, 0.5, 0]
TIES_RECORDED = 0.5658476151775197
TIES_WITHOUT_RECORDED = 0.5822095290339666


def best_of_scores(i: int) -> Scores:
    return [((5 * i + 3 * j * j + 2 * i * j) % 7) / 2 for j in range(4 if i % 3 else 5)]


def scored(name: str, correct: int, scores: Scores, group: str = "Ties") -> tuple[ScoredItem, Scores]:
    return ScoredItem(name, group, [], (), correct), scores


def base(i: int, k: int, j: int) -> float:
    return ((11 * i + 7 * k + 5 * j + 3 * i * j) % 13) / 6


def ties_samples(numbers: range) -> list[tuple[ScoredItem, Scores]]:
    made = []
    for i in numbers:
        reference = [base(i, 0, 0) + (1.5 if i % 4 else -0.5), *(base(i, 0, j) for j in range(1, 4))]
        count = 2 + i % 4
        right = [base(i, 1, j) / (1 + i % 3) + (2.0 if i % 5 else 0.25) for j in range(count)]
        tied = [*right, *(base(i, 1, j) for j in range(count, count + 3))]
        made += [scored(f"ref:{i}", 1, reference), scored(f"tied:{i}", count, tied)]
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
    without = [one for one in ties_samples(range(24)) if one[0].id != "tied:5"]
    assert ties(without, seed=1).score == pytest.approx(TIES_WITHOUT_RECORDED)


def test_ties_by_hand() -> None:
    """ref: 3 over 1, margin 2. tied: right 2 and 1.5, wrong 0: margin 1.5, spread 0.5; the smaller margin is 1.5.

    0.3 + 0.3 + 0.2 + 0.2 + 0.01 tanh(1.5 / 0.5 - 1).
    """
    found = ties([scored("ref:1", 1, (3.0, 1.0)), scored("tied:1", 2, (2.0, 1.5, 0.0))], seed=1)
    assert found.score == pytest.approx(1 + 0.01 * 0.9640275800758169)


def test_a_part_of_ties_that_no_prompt_has_is_none() -> None:
    """A tie is not accurate, one right reply has no spread, and right replies of one score none to measure by."""

    def parts(*items: tuple[ScoredItem, Scores]) -> tuple[float | None, ...]:
        return ties(items, seed=1)[5:]

    ref, tied = scored("ref:1", 1, (3.0, 1.0)), scored("tied:1", 2, (2.0, 2.0, 0.0))
    assert parts(scored("ref:1", 1, (1.0, 1.0))) == (0.0, None, None, None, None)
    assert parts(tied) == (None, 1.0, None, None, None)
    assert parts(ref, scored("tied:1", 1, (2.0, 0.0))) == (1.0, 1.0, None, None, None)
    assert parts(ref, tied) == (1.0, 1.0, 1.0, 1.0, None)


def test_a_prompt_without_all_its_scores_is_missing() -> None:
    assert best_of((1.0, None, 0.0)) is None
    holed = [(item, (None, *scores[1:])) for item, scores in ties_samples(range(5, 6))]
    rest = [*ties_samples(range(5)), *ties_samples(range(6, 24))]
    found = ties([*rest, *holed], seed=1)
    assert (found.prompts, found.missing) == (46, 2)
    assert found.score == ties(rest, seed=1).score
    assert ties(holed, seed=1)[:5] == (None, None, None, 0, 2)


def test_the_score_is_the_mean_of_the_six_and_none_without_one() -> None:
    """Each best-of subset has 5.0 of 20 prompts, as recorded."""
    best = [scored(str(i), 1, best_of_scores(i), name) for name in BEST_OF for i in range(20)]
    every = [*best, *ties_samples(range(24))]
    found = result(every, seed=1)
    assert list(found["subsets"]) == list(SUBSETS)
    assert found["subsets"]["Math"]["score"] == 0.25
    assert found["subsets"]["Math"]["shared_first_place"] == 6
    assert found["score"] == pytest.approx((5 * 0.25 + TIES_RECORDED) / 6)
    assert found["score_low"] < found["score"] < found["score_high"]
    assert found == result(every, seed=1)
    assert result([one for one in every if one[0].group != "Focus"], seed=1)["score"] is None
