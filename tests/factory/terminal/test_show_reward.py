"""What `reward score` prints."""

from factory.reward.rewardbench2 import SUBSETS, Sample, rewardbench2
from factory.terminal.show_reward import reward


def test_measures_that_all_subsets_have_stand_in_one_table_and_no_number_is_folded() -> None:
    groups = {name: [Sample("1", 1, (0.5, 0.1)), Sample("2", 1, (0.1, 0.5))] for name in SUBSETS}
    groups["Ties"] = [Sample(f"{kind}:{n}", 1 + (kind == "tied"), (0.3, 0.2 + n / 71, 0.1))
                      for n in range(3) for kind in ("ref", "tied")]  # fmt: skip
    found = rewardbench2(groups, 1)
    lines = reward(found).splitlines()
    start = next(n for n, line in enumerate(lines) if line.split()[:3] == ["subsets", "score", "low"])
    assert [line.split()[0] for line in lines[start + 2 : start + 8]] == [name.split()[0] for name in SUBSETS]
    (own,) = [line.split() for line in lines if "preferred_hard" in line]
    assert own == ["subsets", "ref", "tied", "preferred", "preferred_hard", "margin"]
    assert f"{found['subsets']['Ties']['margin']:.4g}" in reward(found)
