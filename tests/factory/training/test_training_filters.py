"""`training.filters`: what a pair must pass to be trained on; the run's own filters see all pairs all the same."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import factory
from factory.config import Training
from factory.errors import ConfigError
from factory.files.json_text import parsed
from factory.schema import LOGPS
from factory.training import SAME_WEIGHTS
from factory.training.passing import deciding, passing
from tests.filters.table import row, table


def config(folder: Path, *filters: dict[str, Any]) -> dict[str, Any]:
    (folder / "prompts.txt").write_text("".join(f"Question {n}?\n" for n in range(24)))
    return {
        "prompts": str(folder / "prompts.txt"),
        "engine": "scripted",
        "run": {"iterations": 1},
        "training": {"filters": list(filters)},
        "filters": [{"use": "duplicate"}],
    }


def test_the_authors_filter_before_training(tmp_path: Path) -> None:
    done = factory.run(config(tmp_path, {"use": "authors_logprobs"}), tmp_path / "run")
    folder = tmp_path / "run/iterations/1"
    manifest = dict(parsed((folder / "train.manifest.json").read_text()))
    scores = pl.read_parquet(folder / "scores.parquet")
    facts = manifest["facts"]
    assert 0 < facts["pairs"] < len(scores)
    assert facts["pairs"] + sum(facts["dropped"].values()) == len(scores)
    assert all(name.startswith("logprob_") for name in facts["dropped"])
    assert [one["use"] for one in manifest["inputs"]["training"]["filters"]] == ["logprob_order", *["logprob_mean"] * 2]
    assert sum(not column.null_count() for column in scores.select(*LOGPS)) == 7, "what the filter reads is measured"
    assert len(pl.read_parquet(done.root / "filtered/kept.parquet")) == len(scores)


def test_without_filters_nothing_changes() -> None:
    plain = Training()
    assert deciding(plain) == plain.model_dump(mode="json", exclude={*SAME_WEIGHTS, "filters"})
    pairs = table([row("one")])
    assert passing(pairs, plain).pairs is pairs


def test_kept_and_dropped_are_all() -> None:
    pairs = table([row("even"), row("wide", chosen="a" * 50)])
    found = passing(pairs, Training(filters=[{"use": "length_gap", "max_chars": 10}]))
    assert found.pairs["tag"].to_list() == ["even"]
    assert found.pairs.columns == pairs.columns
    assert found.dropped == {"length_gap: gap": 1}
    with pytest.raises(ConfigError, match=r"training\.filters: no pair of 2 passes"):
        passing(pairs, Training(filters=[{"use": "logprob_order"}]))


def test_filters_that_need_votes_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.filters: nobody has voted"):
        factory.run(config(tmp_path, {"use": "judge_agrees"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
