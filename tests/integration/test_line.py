"""The whole line on a real, if tiny, model: three policies, each trained on what the one before it wrote."""

import itertools
import json
import shutil
from pathlib import Path

import datasets
import polars as pl
import pytest
from safetensors.torch import load_file

import factory
from factory.schema import LOGPS, SCORES, check
from tests.heard import Heard
from tests.tiny import tiny_model_folder

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("line")
    model = tiny_model_folder(folder / "model", context=4096)
    sets = [
        f"policy.model={model}",
        f"judges.0.model={model}",
        "sampling.max_new_tokens=12",
        "sampling.temperature=1.0",
        "training.learning_rate=0.01",
        "filters=[{use: iteration}, {use: duplicate}, {use: length_gap}]",
    ]
    config = factory.load_config(ROOT / "examples" / "quickstart.yaml", sets)
    factory.run(config, folder / "run")
    return folder / "run"


def test_every_policy_differs_from_the_one_before_it(run_dir: Path) -> None:
    weights = [load_file(run_dir.parent / "model" / "model.safetensors")]
    weights += [load_file(run_dir / f"iterations/{i}/policy/model.safetensors") for i in (1, 2, 3)]
    for before, after in itertools.pairwise(weights):
        assert any(not before[name].equal(after[name]) for name in after if name in before)


def test_each_policy_names_its_parent(run_dir: Path) -> None:
    parents = [json.loads((run_dir / f"iterations/{i}/policy/policy.json").read_text())["parent"] for i in (2, 3)]
    assert [parent.rsplit("@", 1)[1] for parent in parents] == ["sso-1", "sso-2"]


def test_scores_hold_the_log_probabilities_that_the_run_reads(run_dir: Path) -> None:
    read = {f"logp_{reply}_{view}" for reply in ("chosen", "rejected") for view in ("plain", "good")}
    read |= {"logp_chosen_bad", "logp_original_bad"}
    for iteration in (1, 2, 3):
        scores = pl.read_parquet(run_dir / f"iterations/{iteration}/scores.parquet")
        check(scores, SCORES)
        for name in LOGPS:
            assert scores[name].null_count() == (0 if name in read else len(scores))
            assert name not in read or scores[name].max() < 0


def test_metrics_hold_loss_and_margin_of_every_step(run_dir: Path) -> None:
    for iteration in (1, 2, 3):
        lines = (run_dir / f"iterations/{iteration}/metrics.jsonl").read_text().splitlines()
        steps = [json.loads(line) for line in lines]
        assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
        assert steps[0]["margin"] == pytest.approx(0.0, abs=1e-3)
        assert all(step["loss"] > 0 for step in steps)


def test_exports_load_as_they_are(run_dir: Path) -> None:
    for name in ("rm", "dpo", "pairs"):
        loaded = datasets.load_dataset(str(run_dir / "exports" / name), split="train")
        assert {"chosen", "rejected"} <= set(loaded.column_names)


@pytest.mark.slow
def test_a_run_that_starts_processes_to_train_leaves_the_same_policy(run_dir: Path, tmp_path: Path) -> None:
    """Iteration 1 trained again, in two processes: what moved by 1e-2 a step differs by rounding alone."""
    again = tmp_path / "run"
    shutil.copytree(run_dir, again)
    (again / "iterations/1/train.manifest.json").unlink()
    config = factory.load_config(run_dir / "config.yaml", ["training.launch.processes=2"])
    heard = Heard()
    factory.run(config, again, until="1/train", progress=heard)
    assert "iterations/1/scores: done before, reused" in heard.lines
    one, two = (load_file(run / "iterations/1/policy/model.safetensors") for run in (run_dir, again))
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-4
    facts = [json.loads((run / "iterations/1/train.manifest.json").read_text())["facts"] for run in (run_dir, again)]
    assert facts[0]["loss"] == pytest.approx(facts[1]["loss"], abs=1e-4)
    assert not (again / "iterations/1/.train.partial").exists()


def test_a_second_run_loads_no_model(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("an engine was opened")

    monkeypatch.setattr("factory.stages.pool.open_generator", never)
    config = factory.load_config(run_dir / "config.yaml")
    assert factory.run(config, run_dir).filtered is not None
