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


def test_after_each_part_memory_is_given_back(monkeypatch):
    given = []
    monkeypatch.setattr(parts, "AT_ONCE", 2)
    monkeypatch.setattr(parts, "give_back", lambda: given.append(1))
    each = parts.parts(pl.LazyFrame({"a": [1, 2, 3]}))
    assert (next(each).height, len(given)) == (2, 0)
    assert (next(each).height, len(given)) == (1, 1)
    assert (list(each), len(given)) == ([], 2)


def test_rows_are_put_in_the_order_of_ids_each_once(tmp_path, monkeypatch):
    """Of `b`, which is there twice, the first row; `x` is not asked for, and `y` not there."""
    monkeypatch.setattr(parts, "AT_ONCE", 2)
    rows = pl.LazyFrame({"pair_id": ["a", "b", "x", "b", "c"], "text": ["1", "2", "3", "4", "5"]})
    ids = pl.Series(["c", "b", "y", "a"])
    found = parts.in_order(tmp_path, rows, ids).collect()
    assert found.rows() == [("c", "5"), ("b", "2"), ("a", "1")]
    files = parts.dealt(tmp_path, rows, ids)
    assert {number: pl.read_parquet(path)["text"].to_list() for number, path in files.items()} == {
        0: ["2", "4", "5"],
        1: ["1"],
    }


def test_rows_are_picked_without_a_join_that_would_hold_their_texts():
    rows = pl.LazyFrame({"pair_id": ["a", "b"], "text": ["1", "2"]})
    assert "JOIN" not in parts._placed(rows, pl.Series(["b"])).explain()
