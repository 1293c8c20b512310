"""`prompts.target_pairs` through the line: rounds, what ends them, and what is done twice when a number changes."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import factory
from factory.config import Config
from factory.errors import ConfigError
from factory.pipeline import Outcome
from tests.heard import Heard


def config(folder: Path, prompts: dict[str, Any], count: int = 60, **blocks: Any) -> Config:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"What of the number {n}?"}) + "\n" for n in range(count)))
    base = {
        "run": {"iterations": 2},
        "prompts": {"paths": [str(path)], **prompts},
        "engine": "scripted",
        "filters": [{"use": "duplicate"}, {"use": "judge_agrees"}],
        "judges": ["J"],
        "export": {"formats": []},
    }
    return Config.model_validate({**base, **blocks})


def portions(run_dir: Path) -> dict[int, int]:
    return dict(sorted(pl.read_parquet(run_dir / "prompts.parquet")["portion"].value_counts().iter_rows()))


def iterations(run_dir: Path) -> dict[int, int]:
    triples = pl.read_parquet(sorted(run_dir.glob("iterations/*/triples.parquet")), columns=["iteration", "prompt_id"])
    assert triples["prompt_id"].is_unique().all()
    return dict(sorted(triples["iteration"].value_counts().iter_rows()))


def passed(outcome: Outcome) -> int:
    return outcome.funnel.kept


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run for 30 pairs, in rounds of ten prompts."""
    folder = tmp_path_factory.mktemp("thirty")
    return factory.run(config(folder, {"target_pairs": 30, "per_round": 10}), folder / "run")


def test_rounds_follow_until_enough_pairs_pass(made: Outcome) -> None:
    before = [
        json.loads((made.root / f"iterations/{n}/passed.manifest.json").read_text())["facts"]["rows"]
        for n in range(2, len(iterations(made.root)) + 1)
    ]
    assert passed(made) == before[-1] >= 30
    assert all(count < 30 for count in before[:-1])
    assert portions(made.root) == dict.fromkeys(range(1, 7), 10)
    assert set(iterations(made.root).values()) == {10}
    assert made.drawn is not None
    assert made.drawn.startswith("target_pairs is reached")


def test_further_rounds_are_written_by_the_last_policy_and_train_nothing(made: Outcome) -> None:
    policies = [set(pl.read_parquet(made.root / f"iterations/{n}/triples.parquet")["policy"]) for n in (1, 2, 3, 4)]
    assert len(set().union(*policies)) == 3
    assert policies[2] == policies[3]
    assert not (made.root / "iterations/3/policy").exists()


def test_without_a_size_the_iterations_would_do_if_everything_passed(tmp_path: Path) -> None:
    factory.run(config(tmp_path, {"target_pairs": 25}), tmp_path / "run")
    assert portions(tmp_path / "run") == {1: 13, 2: 13, 3: 13, 4: 13, 5: 8}


def test_prompts_that_run_out_are_said(tmp_path: Path) -> None:
    heard = Heard()
    made = factory.run(config(tmp_path, {"target_pairs": 500, "per_round": 25}), tmp_path / "run", progress=heard)
    assert iterations(tmp_path / "run") == {1: 25, 2: 25, 3: 10}
    assert made.drawn in heard.lines
    assert "the prompts have run out" in (made.drawn or "")
    assert f"{passed(made)} of 500 pairs pass after 60 prompts" in (made.drawn or "")


def test_a_budget_ends_the_rounds(tmp_path: Path) -> None:
    """A prompt takes a feature, three replies and one or two votes: 20 prompts at most 120 requests, 30 at most 180."""
    made = factory.run(
        config(tmp_path, {"target_pairs": 500, "per_round": 10, "budget": {"requests": 180}}), tmp_path / "run"
    )
    assert max(iterations(tmp_path / "run")) == 3
    assert "raise prompts.budget.requests" in (made.drawn or "")


def test_rounds_without_a_passing_pair_end(tmp_path: Path) -> None:
    settings = config(
        tmp_path, {"target_pairs": 500, "per_round": 5}, filters=[{"use": "length_gap", "max_chars": 0}], judges=[]
    )
    made = factory.run(settings, tmp_path / "run")
    assert passed(made) == 0
    assert max(iterations(tmp_path / "run")) == 5
    assert "none of them from the last 3 rounds" in (made.drawn or "")


def test_a_higher_target_goes_on_to_the_same_end_and_a_second_run_makes_nothing(tmp_path: Path) -> None:
    def go(target: int) -> list[str]:
        heard = Heard()
        factory.run(config(tmp_path, {"target_pairs": target, "per_round": 10}), tmp_path / "run", progress=heard)
        return [line for line in heard.lines if "reused" not in line and "filtered/filter" not in line]

    first, again, higher = go(20), go(20), go(35)
    assert any(line.startswith("iterations/1/triples") for line in first)
    assert again == again[:1]
    assert "target_pairs is reached" in again[0]
    assert not any(line.startswith(("iterations/1/", "iterations/2/")) for line in higher)
    assert any(line.startswith("iterations/") and "/triples" in line for line in higher)
    at_once = factory.run(config(tmp_path, {"target_pairs": 35, "per_round": 10}), tmp_path / "at once")
    files = [root / "filtered" / "kept.parquet" for root in (tmp_path / "run", at_once.root)]
    assert files[0].read_bytes() == files[1].read_bytes(), "as if the higher target had been set at once"


def test_no_judge_is_asked_about_a_pair_again(made: Outcome) -> None:
    manifest = json.loads((made.root / "filtered/filter.manifest.json").read_text())
    used = manifest["used"]["judge J"]
    journal = made.root / "filtered/filter.journal.jsonl"
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(set(keys)) == len(keys) == used["requests"]
    assert used["asked"] < used["requests"]


def test_the_iteration_filter_of_the_presets_is_left_out_and_one_that_names_iterations_refused(tmp_path: Path) -> None:
    named = [{"use": "iteration", "keep": {"*": [1, 2]}}]
    with pytest.raises(ConfigError, match="this filter iteration drops"):
        factory.run(config(tmp_path, {"target_pairs": 5}, filters=named), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for number, filters in enumerate((None, [{"use": "iteration"}, {"use": "duplicate"}])):
        made = factory.run(config(tmp_path, {"target_pairs": 5}, filters=filters), tmp_path / f"run-{number}")
        assert "iteration" not in [step.filter for step in made.funnel.steps]
