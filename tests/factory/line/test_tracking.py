"""Trackers: what each stage leaves in numbers reaches TensorBoard and trackers of the kind of Weights & Biases."""

import json
import os
import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import factory
from factory.cli import main
from factory.config import Training
from factory.errors import ConfigError
from factory.line.tracking import TRACKERS, kept_beside
from tests.heard import Heard

ONLINE = sorted(TRACKERS.keys() - {"tensorboard"})


class Fake(ModuleType):
    """A module that notes what it is told, as wandb and trackio are called."""

    def __init__(self, name: str, fails: bool = False) -> None:
        super().__init__(name)
        self.__spec__ = type(sys.__spec__)(name, None)
        self.began: list[dict[str, Any]] = []
        self.told: list[dict[str, float]] = []
        self.open = 0
        self._fails = fails

    class Error(Exception):
        """What the package calls its errors."""

    def init(self, **given: Any) -> None:
        print("* Created new run")
        if self._fails:
            raise self.Error("no network\nand more")
        self.began.append(given)
        self.open += 1

    def log(self, values: dict[str, float]) -> None:
        self.told.append(values)

    def finish(self) -> None:
        self.open -= 1

    def teardown(self) -> None:
        self.torn_down = True


def config(folder: Path, *trackers: str) -> dict[str, Any]:
    (folder / "prompts.txt").write_text("".join(f"Question {n}?\n" for n in range(6)))
    return {
        "prompts": str(folder / "prompts.txt"),
        "engine": "scripted",
        "run": {"iterations": 2, "report_to": list(trackers)},
        "filters": [{"use": "duplicate"}, {"use": "truncated"}],
    }


@pytest.mark.parametrize("name", ONLINE)
def test_each_stage_is_told_once_with_its_iteration(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(name)
    monkeypatch.setitem(sys.modules, name, fake)
    factory.run(config(tmp_path, name), tmp_path / "run")
    stages = [next(iter(told)).split("/")[0] for told in fake.told]
    inner = ["features", "contrast", "triples", "scores", "train"]
    assert stages == ["prompts", *inner, *inner, "filter", "rm"]
    assert [told["iteration"] for told in fake.told] == [0, *[1] * 5, *[2] * 5, 0, 0]
    triples = fake.told[3]
    assert triples["triples/rows"] == 3
    assert triples["triples/replies/requests"] == 9
    assert triples["triples/replies/tokens_per_second"] > 0
    kept = {key: value for key, value in fake.told[-2].items() if key.startswith("filter/kept/")}
    assert list(kept) == ["filter/kept/1_duplicate", "filter/kept/2_truncated"]
    assert all(isinstance(value, float | int) for told in fake.told for value in told.values())
    assert fake.open == 0
    assert len({(one["name"], one.get("id"), one["project"], one["resume"]) for one in fake.began}) == 1
    assert str(tmp_path) not in str([one["config"] for one in fake.began])
    count = len(fake.told)
    factory.run(config(tmp_path, name), tmp_path / "run")
    assert len(fake.told) == count, "what is reused is not told again"


def test_tensorboard_reads_them_and_they_change_no_byte(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    factory.run(config(tmp_path, "tensorboard"), tmp_path / "run")
    found = EventAccumulator(str(tmp_path / "run/tracking"))
    found.Reload()
    assert [(one.step, one.value) for one in found.Scalars("triples/rows")] == [(1, 3.0), (2, 3.0)]
    assert found.Scalars("filter/kept/1_duplicate")[0].value == 6
    factory.run(config(tmp_path), tmp_path / "other")
    kept = "filtered/kept.parquet"
    assert (tmp_path / "run" / kept).read_bytes() == (tmp_path / "other" / kept).read_bytes()


def test_a_tracker_that_fails_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Fake("wandb", fails=True))
    heard = Heard()
    done = factory.run(config(tmp_path, "wandb"), tmp_path / "run", progress=heard)
    assert done.filtered
    said = [line for line in heard.lines if "wandb" in line]
    assert said == ["wandb takes no more numbers of this run (Error: no network); the run goes on without"]


def test_what_a_training_tells_is_kept_beside_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' integrations ask the environment, which is as it was afterwards; what the user set stays."""
    from factory.training.arguments import loop

    place = SimpleNamespace(root=tmp_path)
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    monkeypatch.delenv("TRACKIO_PROJECT", raising=False)
    monkeypatch.setenv("WANDB_DIR", "mine")
    with kept_beside(place, ["wandb"], 2):
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "tracking/train-2")
        assert (os.environ["WANDB_DIR"], os.environ["WANDB_PROJECT"]) == ("mine", "sso-factory")
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    with kept_beside(place, [], 2):
        assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    assert loop(Training(), tmp_path, 0)["project"] == "sso-factory"


def test_what_a_tracker_prints_is_no_part_of_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", Fake("trackio"))
    (tmp_path / "run.json").write_text(json.dumps(config(tmp_path, "trackio")))
    command = ["run", str(tmp_path / "run.json"), "--run-dir", str(tmp_path / "run"), "--json"]
    done = CliRunner().invoke(main, command)
    assert json.loads(done.stdout)
    assert "* Created new run" in done.stderr


def _read_trackio(folder: Path) -> bytes:
    return b"".join(row[0] for row in sqlite3.connect(folder / "sso-factory.db").execute("SELECT metrics FROM metrics"))


def _read_wandb(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.parent.rglob("offline-run-*/*.wandb"))


READ_BACK = {"trackio": _read_trackio, "wandb": _read_wandb}


@pytest.mark.parametrize("name", ONLINE)
def test_the_package_itself_where_it_is_installed(name: str, tmp_path: Path) -> None:
    """In a process of its own, which it may warn in and leave threads in; offline."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "run.json").write_text(json.dumps(config(tmp_path, name)))
    command = [sys.executable, "-m", "factory.cli", "run", str(tmp_path / "run.json"), "--run-dir"]
    offline = {"TRACKIO_DIR": str(tmp_path / "kept"), "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "run"), "--json"],
        env=os.environ | offline,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)
    assert "takes no more numbers" not in done.stderr
    told = READ_BACK[name](tmp_path / "kept")
    for number in ("prompts/rows", "triples/replies/requests", "filter/kept/1_duplicate", "rm/splits/train"):
        assert number.encode() in told


def test_one_that_is_not_there_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run.report_to: there is no tracker 'tensorbord'; known are tensorboard, "):
        factory.run(config(tmp_path, "tensorbord"), tmp_path / "run")
    missing = [name for name in ONLINE if find_spec(name) is None]
    for name in missing:
        with pytest.raises(ConfigError, match=f"pip install {name}"):
            factory.run(config(tmp_path, name), tmp_path / "run")
    assert not (tmp_path / "run").exists()
