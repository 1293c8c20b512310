"""`train`: which of the files that it is given are trained on."""

from pathlib import Path

import pytest

import factory
from factory.commands import train as command
from factory.commands.train import Trained
from factory.readers.inputs.splits import splits
from factory.training import TrainingJob
from tests.heard import Heard
from tests.pairs import pair, table, user
from tests.tiny import tiny_model_folder


def folder_of(place: Path, *names: str) -> Path:
    """A folder with a pair in each file, whose prompt is the file's name."""
    place.mkdir(parents=True)
    for name in names:
        one = table([pair([user(name)], "Tin is a metal.", "Wood.", source="test")])
        one.select("prompt", "chosen", "rejected").write_parquet(place / name)
    return place


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts that came to be trained on; no model is."""
    prompts: list[str] = []

    def trained(job: TrainingJob) -> dict[str, object]:
        (job.out / "policy").mkdir()
        (job.out / "policy" / "policy.json").write_text("{}")
        prompts.extend(turns[0]["content"] for turns in job.pairs["prompt"])
        return {}

    monkeypatch.setattr(command, "_trained", trained)
    return prompts


def trained(pairs: Path, tmp_path: Path, said: Heard) -> Trained:
    policy = tiny_model_folder(tmp_path / "model")
    return factory.train(pairs, str(policy), tmp_path / "out", progress=said)


def test_a_test_split_is_not_trained_on_and_that_is_said(seen: list[str], tmp_path: Path) -> None:
    """An exported folder has one; its prompts are what the policy is to be measured by."""
    names = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet", "more.parquet")
    said = Heard()
    trained(folder_of(tmp_path / "data", *names), tmp_path, said)
    assert sorted(seen) == ["more.parquet", "train-00000-of-00001.parquet"]
    [line] = [line for line in said.lines if "held out" in line]
    assert "test-00000-of-00001.parquet" in line
    assert "more.parquet" not in line


@pytest.mark.parametrize("names", [("test.parquet",), ("a.parquet", "testing.parquet"), ("evaluation.parquet",)])
def test_what_is_no_split_beside_another_is_trained_on(names: tuple[str, ...], tmp_path: Path) -> None:
    """A folder of tests alone is what somebody wants to train on; a name that only begins so is no split's."""
    folder = folder_of(tmp_path / "data", *names)
    assert splits(folder) == ([folder], [])


@pytest.mark.parametrize("test", ["test/part-00000-a.c000.snappy.parquet", "split=test/0.parquet", "dev/b.parquet"])
def test_a_folder_within_may_be_the_test_split(test: str, tmp_path: Path) -> None:
    folder = tmp_path / "test"
    for name in ("train/a.parquet", test):
        folder_of((folder / name).parent, Path(name).name)
    found = splits(folder)
    assert [Path(table.where).parent.name for table in found.train] == ["train"]
    assert found.tests == str(folder / test)
