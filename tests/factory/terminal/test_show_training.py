"""What `reward train` and `reward score` print."""

from pathlib import Path

from factory.commands.reward import RewardTrained
from factory.reward.official import ScoredItem
from factory.reward.rewardbench2 import SUBSETS, result
from factory.terminal.show_training import reward, training


def test_measures_that_all_subsets_have_stand_in_one_table_and_no_number_is_folded() -> None:
    best = [
        (ScoredItem(str(n), name, [], (), 1), scores)
        for name in SUBSETS
        for n, scores in enumerate([(0.5, 0.1), (0.1, 0.5)])
    ]
    kinds = [(f"{kind}:{n}", count, n) for n in range(3) for kind, count in (("ref", 1), ("tied", 2))]
    ties = [(ScoredItem(name, "Ties", [], (), count), (0.3, 0.2 + n / 71, 0.1)) for name, count, n in kinds]
    found = result([*(one for one in best if one[0].group != "Ties"), *ties], 1)
    lines = reward(found).splitlines()
    start = next(n for n, line in enumerate(lines) if line.split()[:3] == ["subsets", "score", "low"])
    assert [line.split()[0] for line in lines[start + 2 : start + 8]] == [name.split()[0] for name in SUBSETS]
    (own,) = [line.split() for line in lines if "preferred_hard" in line]
    assert own == ["subsets", "ref", "tied", "preferred", "preferred_hard", "margin"]
    assert f"{found['subsets']['Ties']['margin']:.4g}" in reward(found)


def test_a_trained_model_is_named_by_its_path() -> None:
    shown = training(RewardTrained(Path("out/model"), {"model": "model", "pairs": 3}))
    assert [line.split() for line in shown.splitlines()[2:]] == [["model", "out/model"], ["pairs", "3"]]
