"""What is measured before training follows what the run reads, and training follows what its loss reads."""

from pathlib import Path
from typing import Any

import polars as pl

import factory
from factory.schema import LOGPS


def run(folder: Path, **more: Any) -> None:
    (folder / "prompts.txt").write_text("".join(f"Question {n}?\n" for n in range(8)))
    blocks = {"filters": [{"use": "duplicate"}], "export": {"formats": []}, **more}
    config = {"prompts": str(folder / "prompts.txt"), "engine": "scripted", "run": {"iterations": 2}, **blocks}
    factory.run(config, folder / "run")


def measured(folder: Path) -> list[set[str]]:
    tables = [pl.read_parquet(folder / f"run/iterations/{number}/scores.parquet") for number in (1, 2)]
    assert all(len(table) for table in tables)
    return [{name for name in LOGPS if table[name].null_count() == 0} for table in tables]


def stamps(folder: Path, name: str) -> list[int]:
    return [path.stat().st_mtime_ns for path in sorted(folder.glob(f"run/iterations/*/{name}.manifest.json"))]


def test_a_filter_that_reads_more_has_more_measured_and_nothing_trained_anew(tmp_path: Path) -> None:
    run(tmp_path)
    assert [len(names) for names in measured(tmp_path)] == [6, 6]
    trained, triples = stamps(tmp_path, "train"), stamps(tmp_path, "triples")
    run(tmp_path, filters=[{"use": "duplicate"}, {"use": "logprob_order"}])
    assert measured(tmp_path) == [measured(tmp_path)[0]] * 2
    assert len(measured(tmp_path)[0]) == 7
    assert stamps(tmp_path, "train") == trained
    assert stamps(tmp_path, "triples") == triples
    run(tmp_path, training={"scores": "all"})
    assert measured(tmp_path) == [set(LOGPS)] * 2
    assert stamps(tmp_path, "train") == trained


def test_another_objective_is_trained_anew(tmp_path: Path) -> None:
    run(tmp_path)
    trained = stamps(tmp_path, "train")
    run(tmp_path, training={"method": "pbaa"})
    assert [len(names) for names in measured(tmp_path)] == [2, 2]
    assert stamps(tmp_path, "train") != trained
