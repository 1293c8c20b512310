"""Several models as one, worked by hand."""

import pytest

from factory.reward.config import RewardScoring
from factory.reward.ensemble import ENSEMBLES, apart, joined
from factory.reward.scorer import Reward


def rewards(*scores: float | None) -> list[Reward]:
    return [Reward(score, 3, cut=False, missing=None if score is not None else "no_number") for score in scores]


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", [0.0, 20.0, 40.0]), ("standardised", [0.0, 0.0, 0.0]), ("worst", [-(1.5**0.5), 0.0, -(1.5**0.5)])],
)
def test_scores_of_several_models_join_by_mean_standard_or_worst(how: str, expected: list[float]) -> None:
    """Scores 1, 0, -1 and -1, 40, 81 go opposite ways; standardised, from 1.5^0.5 to -1.5^0.5, they cancel."""
    one, other = rewards(1, 0, -1), rewards(-1, 40, 81)
    assert [reward.score for reward in joined([one, other], how)] == pytest.approx(expected)


def test_every_way_can_be_chosen() -> None:
    assert [RewardScoring(ensemble=how).ensemble for how in ENSEMBLES] == ["mean", "standardised", "worst"]


@pytest.mark.parametrize("how", ENSEMBLES)
def test_a_reply_without_a_score_of_one_model_has_none_and_spoils_no_other(how: str) -> None:
    both = joined([rewards(1, None, 3), rewards(2, 2, 4)], how)
    assert (both[1].score, both[1].missing) == (None, "no_number")
    alone = joined([rewards(1, 3), rewards(2, 4)], how)
    assert [both[0].score, both[2].score] == [one.score for one in alone]
    assert joined([rewards(None), rewards(1)], how)[0].score is None
    assert joined([rewards(5, 5), rewards(1, 1)], "standardised")[0].score == 0


def test_measures_of_several_models_have_mean_and_deviation() -> None:
    found = apart([{"accuracy": 0.5, "score": None}, {"accuracy": 0.7, "score": 1.0}])
    assert found == {"accuracy": {"mean": pytest.approx(0.6), "deviation": pytest.approx(0.02**0.5)}}
