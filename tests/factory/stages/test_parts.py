import polars as pl
import pytest

import factory
from factory.engines.scripted import ScriptedModel
from factory.stages import parts


@pytest.fixture
def config(tmp_path):
    asked = [f"Tell me of the number {n}." for n in range(7)]
    path = tmp_path / "prompts.jsonl"
    pl.DataFrame({"prompt": asked}).write_ndjson(path)
    return {
        "run": {"dir": str(tmp_path), "iterations": 1},
        "prompts": str(path),
        "engine": "scripted",
        "principles": {"source": "generated"},
        "sampling": {"samples_per_view": 2},
        "training": {"method": "none"},
        "filters": [{"use": "duplicate"}],
    }


@pytest.fixture
def calls(monkeypatch):
    """How much the engine is asked at once."""
    counts: list[int] = []
    for name in ("generate", "score"):
        inner = getattr(ScriptedModel, name)

        def counted(self, requests, inner=inner):
            counts.append(len(requests))
            return inner(self, requests)

        monkeypatch.setattr(ScriptedModel, name, counted)
    return counts


def made(config, root):
    """Every table of the iteration."""
    factory.run(config, root, until="scores")
    folder = root / "iterations" / "1"
    return {path.name: pl.read_parquet(path) for path in folder.glob("*.parquet")}


def test_parts_change_nothing_but_how_much_is_asked_at_once(config, calls, tmp_path, monkeypatch):
    whole = made(config, tmp_path / "whole")
    assert calls[:3] == [7, 7, 42]
    calls.clear()
    monkeypatch.setattr(parts, "AT_ONCE", 3)
    cut = made(config, tmp_path / "cut")
    assert calls[:9] == [3, 3, 1, 3, 3, 1, 18, 18, 6]
    assert cut.keys() == whole.keys()
    assert all(cut[name].equals(table) for name, table in whole.items())
    assert whole["scores.parquet"].height > 6


def test_no_part_is_left_beside_the_tables(config, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "AT_ONCE", 2)
    made(config, tmp_path / "run")
    assert not [path.name for path in (tmp_path / "run").rglob("*") if "parts" in path.name]


def test_an_empty_table_is_one_part():
    assert [part.height for part in parts.parts(pl.LazyFrame({"a": []}))] == [0]
    assert [part.height for part in parts.parts(pl.LazyFrame({"a": [1] * parts.AT_ONCE}))] == [parts.AT_ONCE]
