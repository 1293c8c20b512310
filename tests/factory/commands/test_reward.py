"""`reward` as a person meets it."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import factory
from factory.cli import main
from factory.commands.reward import reward_score, reward_train
from factory.terminal import show_training
from tests.pairs import pairs
from tests.tiny import tiny_model_folder


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["reward", *(str(arg) for arg in args)])


def test_a_trained_model_is_scored_with_every_measure_and_pair(tmp_path: Path) -> None:
    base = tiny_model_folder(tmp_path / "base")
    pairs(12).write_parquet(tmp_path / "pairs.parquet")
    options = ("--out", tmp_path / "rm", "--set", "max_steps=2", "--set", "batch_pairs=4", "--seed", "7")
    done = call("train", tmp_path / "pairs.parquet", "--policy", base, *options)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "rm/model/reward.json").read_text())["seed"] == 7
    score = ("score", tmp_path / "pairs.parquet", "--model", tmp_path / "rm/model", "--out", tmp_path / "score")
    done = call(*score, "--group", "iteration")
    assert done.exit_code == 0, done.output
    for word in ("accuracy", "low", "groups", "missing", "length_mean", "chosen_longer", "ece", "confidence"):
        assert word in done.output
    found = json.loads((tmp_path / "score/score.json").read_text())
    assert (found["n"], sum(group["n"] for group in found["by_length"].values())) == (24, 24)
    assert sum(one["n"] for one in found["calibration"]["bins"]) == 24


def test_each_seed_makes_a_model_and_their_ensemble_scores_by_the_mean(tmp_path: Path) -> None:
    """A folder of each seed; the ensemble's score is the mean of theirs, and each is told beside it."""
    base = tiny_model_folder(tmp_path / "base")
    pairs(12).write_parquet(tmp_path / "pairs.parquet")
    options = ("--out", tmp_path / "rm", "--set", "max_steps=1", "--set", "batch_pairs=4", "--set", "test_share=0.3")
    done = call("train", tmp_path / "pairs.parquet", "--policy", base, *options, "--seeds", "3,4", "--json")
    assert done.exit_code == 0, done.output
    folders = [tmp_path / f"rm/seed-{seed}/model" for seed in (3, 4)]
    assert [json.loads((folder / "reward.json").read_text())["seed"] for folder in folders] == [3, 4]
    assert "test_accuracy_mean" in done.output

    both = reward_score(pairs(12), [str(folder) for folder in folders], tmp_path / "both")
    each = [reward_score(pairs(12), str(folder), tmp_path / folder.parent.name) for folder in folders]
    scores = [pl.read_parquet(one.folder / "scores.parquet")["score"] for one in (both, *each)]
    assert scores[0].to_list() == pytest.approx(((scores[1] + scores[2]) / 2).to_list())
    assert [one["accuracy"] for one in both.result["models"]] == [one.result["accuracy"] for one in each]
    assert both.result["model"] == [str(folder) for folder in folders]
    mean = sum(one.result["accuracy"] for one in each) / 2
    assert both.result["over_models"]["accuracy"]["mean"] == pytest.approx(mean)
    shown = show_training.reward(both.result)
    assert [line.split()[0] for line in shown.splitlines()[-5:]][-4:] == ["1", "2", "mean", "deviation"]


def test_subsets_of_unlike_measures_stand_in_tables_of_their_own_and_absent_ones_are_named() -> None:
    math = {"score": 0.5, "prompts": 3}
    shown = show_training.reward(
        {"score": None, "subsets": {"Math": math, "Focus": math, "Ties": {"score": 0.1, "tied": 0.25}}}
    )
    heads = [line.split() for line in shown.splitlines() if line.split()[:1] == ["subsets"]]
    assert heads == [["subsets", "score"], ["subsets", "prompts"], ["subsets", "tied"]]
    shown = show_training.reward({"sections": {"Chat": {"score": 0.5, "absent": ["mt-bench-easy", "mt-bench-med"]}}})
    assert "Chat is without mt-bench-easy, mt-bench-med" in shown


def test_they_are_the_functions_of_the_package() -> None:
    assert factory.reward_train is reward_train
    assert factory.reward_score is reward_score


def test_the_module_of_the_commands_loads_nothing_heavy() -> None:
    code = "import sys, factory.commands.reward; print({'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("train", "nowhere.jsonl", "--model", "m", "--out", "o"), 2, "nowhere.jsonl"),
        (("train", "P", "--model", "./no-such-folder", "--out", "o"), 1, "no-such-folder"),
        (("train", "P", "--model", "M", "--out", "o", "--set", "learningrate=1"), 2, "did you mean learning_rate?"),
        (("train", "P", "--model", "M", "--out", "o", "--set", "trainer_options.nothing=1"), 2, "nothing"),
        (("train", "P", "--model", "M", "--out", "o", "--set", "max_length=3"), 2, "too_long; raise max_length"),
        (("train", "P", "--model", "M", "--out", "o", "--seeds", "1,x"), 2, "as in 1,2,3"),
        (("train", "P", "--model", "M", "--out", "o", "--seeds", "1,1"), 2, "each seed once"),
        (("train", "P", "--model", "M", "--out", "o", "--seeds", "1,2", "--seed", "3"), 2, "leave seed out"),
        (("score", "P", "--model", "M", "--out", "o"), 1, "no reward model"),
        (("score", "P", "--model", "M", "--model", "M", "--out", "o"), 2, "each of them once"),
        (("score", "P", "--model", "M", "--out", "o", "--benchmark", "bench"), 2, "rewardbench2"),
        (("score", "P", "--model", "M", "--out", "o", "--group", "colour"), 2, "no column 'colour'"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    args: tuple[str, ...], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model_folder(tmp_path / "M")
    pairs(3).write_parquet(tmp_path / "P")
    (tmp_path / "P").rename(tmp_path / "P.parquet")
    done = call(*("P.parquet" if arg == "P" else arg for arg in args))
    assert done.exit_code == code, done.output
    (sentence,) = [line for line in done.output.splitlines() if line.startswith("sso-factory:")]
    assert words in sentence
    assert "Traceback" not in done.output


def test_without_trl_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("factory.reward.train", "trl"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "trl", None)
    pairs(3).write_parquet(tmp_path / "p.parquet")
    done = call("train", tmp_path / "p.parquet", "--model", tiny_model_folder(tmp_path / "m"), "--out", tmp_path / "o")
    assert done.exit_code == 2
    assert "[reward]'" in done.output
