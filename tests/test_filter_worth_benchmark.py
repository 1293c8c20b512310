"""benchmarks/filter_worth.py and its report: what their docstrings say of arms, votes and numbers."""

import itertools
import json
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import filter_worth, filter_worth_report, reward_records
from benchmarks.filter_rules import made_up
from benchmarks.filter_worth import (
    ARMS,
    CLEAN,
    FEWER,
    FILTERED,
    FOLDS,
    HUMAN,
    JUDGE,
    LEVEL,
    LEVEL_NOISY,
    LLMBAR,
    MILD,
    NOISY,
    SHARED,
    Material,
)
from benchmarks.filter_worth_report import END
from tests import pairs as tables
from tests.tiny import tiny_model_folder


def material(count: int, *, own: bool = True, same: bool = False) -> Material:
    """Pairs without states, with the made-up judge's votes; or each pair with the same votes, for the better reply."""
    votes = made_up(count).votes[JUDGE]
    ids, sizes = [f"{n:032x}" for n in range(count)], np.random.default_rng(0).integers(10, 900, (count, 2))
    fold = [n % FOLDS for n in range(count)]
    return Material(ids, fold, sizes, [], np.ones_like(votes) if same else votes, own)


def test_a_judge_that_is_always_right_leaves_the_right_labels_and_all_of_them() -> None:
    arms = filter_worth.members(material(400, same=True), seed=1)
    noisy, right = arms[NOISY]
    assert arms[FILTERED][0] == arms[MILD][0] == [n for n in noisy if right[n]]
    assert 0.6 < right.mean() < 0.8


def test_arms_of_a_seed_share_test_and_wrong_labels_and_differ_in_their_pairs() -> None:
    """Strictly filtered is part of mildly filtered is part of noisy; as many as filtered are drawn from noisy."""
    found = material(400)
    arms = filter_worth.members(found, seed=3)
    assert set(arms) == {*ARMS[LLMBAR]} > {*ARMS[HUMAN]}
    assert not {found.fold[n] for numbers, _ in arms.values() for n in numbers} & {3 % FOLDS}
    assert arms[CLEAN][1].all()
    assert arms[CLEAN][0] == arms[NOISY][0]
    assert all((right == arms[NOISY][1]).all() for arm, (_, right) in arms.items() if arm != CLEAN)
    assert set(arms[FILTERED][0]) < set(arms[MILD][0]) < set(arms[NOISY][0])
    assert len(set(arms[FEWER][0])) == len(arms[FILTERED][0])
    shares = {arm: right[numbers].mean() for arm, (numbers, right) in arms.items()}
    assert shares[NOISY] < shares[MILD] < shares[FILTERED]
    assert filter_worth.members(found, seed=3)[FEWER][0] == arms[FEWER][0] != filter_worth.members(found, 7)[FEWER][0]


def test_labels_wrong_at_a_smaller_share_are_part_of_those_at_a_larger_one() -> None:
    """The pairs of noisy are the same at every share; at none it is clean, and a judge always right keeps all."""
    found = material(400, same=True)
    shares = [filter_worth.members(found, 1, share) for share in filter_worth.SHARES]
    assert shares[0][FILTERED][0] == shares[0][NOISY][0] == shares[0][CLEAN][0]
    assert shares[0][NOISY][1].all()
    for less, more in itertools.pairwise(shares):
        assert less[NOISY][0] == more[NOISY][0]
        assert not (more[NOISY][1] & ~less[NOISY][1]).any()
        assert len(more[FILTERED][0]) < len(less[FILTERED][0])


def test_the_slope_is_that_of_the_gains_for_ten_percent_more_wrong_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: filtered is right everywhere, noisy in 90 % of pairs less for each share: +9 points for each 10 %."""
    monkeypatch.setattr(filter_worth_report, "DRAWS", 100)
    longer, rng = np.array([1, -1] * 500), np.random.default_rng(0)
    drawn, whole = rng.random((4, 1000)), np.ones((4, 1000))
    facts = dict.fromkeys(("pairs", "right", "chosen_longer"), 1.0)
    arms = {
        name: filter_worth_report.Tested(drawn >= 0.9 * share if arm == NOISY else whole, longer, facts)
        for name, (arm, share) in SHARED.items()
    }
    said = filter_worth_report.by_share(arms)
    assert said["slope"]["mean"] == pytest.approx(0.09, abs=0.005)
    assert said["at"]["0%"]["gain"]["mean"] == 0
    assert said["at"]["40%"]["gain"]["mean"] == pytest.approx(0.36, abs=0.03)


def test_a_balanced_arm_is_level_by_its_own_labels() -> None:
    """As many with the longer chosen as with the shorter one, wrong labels and all, of the arm's pairs alone."""
    found = material(400)
    arms = filter_worth.members(found, seed=2)
    for arm, of in ((LEVEL, FILTERED), (LEVEL_NOISY, NOISY)):
        numbers, right = arms[arm]
        chosen_longer = found.longer[numbers] == np.where(right[numbers], 1, -1)
        assert set(numbers) < set(arms[of][0])
        assert abs(2 * chosen_longer.sum() - np.count_nonzero(found.longer[numbers])) <= 1 < len(numbers) / 9


def test_borrowed_votes_are_drawn_anew_by_each_seed_and_own_ones_stay() -> None:
    own, borrowed = material(60), material(60, own=False)
    assert np.array_equal(own.voted(1), own.voted(2))
    assert not np.array_equal(borrowed.voted(1), borrowed.voted(2))
    assert np.array_equal(borrowed.voted(1), borrowed.voted(1))


def test_the_mean_over_quarters_is_that_of_both_lengths_and_its_interval_holds_it() -> None:
    """In every seed the longer ones right, of the shorter ones none: 0.5; a planted difference lies off zero."""
    longer = np.array([1, -1] * 200)
    seen = np.array([[n // 2 % FOLDS == seed % FOLDS for n in range(400)] for seed in range(8)])
    whole = np.where(seen, longer == 1, np.nan)
    found = filter_worth_report.estimate(whole, longer)
    assert (found["mean"], found["low"], found["high"], found["seeds"]) == (0.5, 0.5, 0.5, 8)
    rng = np.random.default_rng(0)
    low, high = (np.where(seen, rng.random((8, 400)) < share, np.nan) for share in (0.5, 0.7))
    planted = filter_worth_report.estimate(high - low, longer)
    assert planted["low"] > 0
    assert planted["p"] == 2 / 2**8
    none = filter_worth_report.estimate(low - np.where(seen, rng.random((8, 400)) < 0.5, np.nan), longer)
    assert none["low"] < 0 < none["high"]


def test_the_two_way_interval_holds_nothing_where_nothing_is_as_often_as_it_says() -> None:
    """500 sets of 24 seeds, each asked a quarter of 200 pairs; answers of a seed, and about a pair, go together."""
    longer, held = np.array([1, -1] * 100), 0
    seen = np.array([[n // 2 % FOLDS == seed % FOLDS for n in range(200)] for seed in range(24)])
    groups = filter_worth_report.strata(longer)
    rng = np.random.default_rng(1)
    for _ in range(500):
        parts = rng.normal(0, 0.05, (24, 1)) + rng.normal(0, 0.15, (1, 200)) + rng.normal(0, 0.5, (24, 200))
        values = np.where(seen, parts, np.nan)
        mean = np.mean([np.nanmean(values[:, place]) for place in groups])
        held += abs(mean) <= 2.07 * filter_worth_report.two_way(values, groups)
    assert 0.92 <= held / 500 <= 0.98
    low, high = filter_worth_report.resampled(values, groups)
    width = 2 * 2.07 * filter_worth_report.two_way(values, groups)
    assert high - low > 1.25 * width, "as the page says of the interval of the design"


def files(folder: Path) -> list[str]:
    """Arguments: pairs of people, and recorded pairs with every judge's verdicts on them."""
    rows = [tables.pair([tables.user(f"Why {n}?")], "yes" * (1 + n % 2 * 3), "no no no", source="t") for n in range(40)]
    tables.table(rows).write_parquet(folder / "human.parquet")
    ids, labels = [f"p{n}" for n in range(40)], [1 + n % 2 for n in range(40)]
    replies = {"prompt": [f"What {n}?" for n in range(40)], "response_1": ["one one"] * 40, "response_2": ["two"] * 40}
    pl.DataFrame({"pair_id": ids, "label": labels, **replies}).write_parquet(folder / "pairs.parquet")
    said = [str(label if n % 5 else 3 - label) for n, label in enumerate(labels)]
    verdicts = [pl.DataFrame({"pair_id": ids, "judge": judge, "strategy": "Vanilla", "label": labels,
                              "verdict_orig": said, "verdict_swap": said})
                for judge in filter_worth.JUDGES]  # fmt: skip
    pl.concat(verdicts).write_parquet(folder / "verdicts.parquet")
    return [part for name in ("human", "pairs", "verdicts") for part in (f"--{name}", str(folder / f"{name}.parquet"))]


def test_each_cell_is_made_once_and_comes_to_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The better reply of a recorded pair is chosen; a seed that is not whole is left out of every arm."""
    model, out = str(tiny_model_folder(tmp_path / "model", context=512)), tmp_path / "out"
    monkeypatch.setattr(filter_worth_report, "DRAWS", 100)
    fewer = {arm: (plain, share) for arm, (plain, share) in SHARED.items() if share in (0, 0.3, 0.4)}
    for module in (filter_worth, filter_worth_report):
        monkeypatch.setattr(module, "SHARED", fewer)
    monkeypatch.setattr(filter_worth_report, "SHARES", (0.0, 0.3, 0.4))
    call = ["filter_worth.py", *files(tmp_path), "--out", str(out), "--model", model, "--steps", "2", "--seeds"]
    monkeypatch.setattr(sys, "argv", [*call, *"12345"])
    filter_worth.main()
    cells = reward_records.read(out / "cells.jsonl")
    assert len(cells) == 5 * sum(len({*arms, *fewer}) for arms in ARMS.values())
    strict = [one for one in cells if one["arm"] == f"{LLMBAR}: {FILTERED}"]
    assert all(one["right"] > 0.6 for one in strict)
    monkeypatch.setattr(filter_worth, "cell", lambda *_: pytest.fail("a cell was made again"))
    filter_worth.main()
    found = filter_worth_report.results(out / "cells.jsonl")
    assert {one["seeds"] for one in found[HUMAN]["arms"].values()} == {4}
    lines = list(filter_worth_report.tables(found))
    assert sum(line.startswith(f"| {FILTERED} less {NOISY} |") for line in lines) == 1
    assert found[LLMBAR]["tested"] == found[HUMAN]["tested"] == 40
    lines = list(filter_worth_report.tables_by_share(found))
    assert sum(line.startswith(("| 0% |", "| 40% |")) for line in lines) == 4
    at_one = found[LLMBAR]["shares"]["at"]["30%"]["gain"]
    assert at_one == found[LLMBAR]["contrasts"][f"{FILTERED} less {NOISY}"], "the same cells, the same number"


def test_the_page_holds_the_tables_of_the_results() -> None:
    found = json.loads((filter_worth_report.RESULTS / "filter_worth.json").read_text())
    page = filter_worth_report.PAGE.read_text()
    assert page == filter_worth_report.with_results(page, found)


def test_the_page_s_own_words_on_filtering_give_no_number_that_its_tables_lack() -> None:
    """In the section, its summary and its last part; a number in the design of either part is none of a result."""
    page = filter_worth_report.PAGE.read_text().split("## Does filtering help a reward model?")[1]
    short, first, second = re.split(r"\*\*Design, written.*?<!-- begin", page, flags=re.DOTALL)
    (first_made, first_told), (second_made, second_told) = (part.split(END) for part in (first, second))
    for told, made in ((short + first_told, first_made + second_made), (second_told, second_made)):
        numbers = re.findall(r"[+-]\d+\.\d\b|\b0\.\d{3}\b|\b\d+\.\d%", told)
        assert len(numbers) >= 15
        assert [number for number in numbers if number not in made] == []
