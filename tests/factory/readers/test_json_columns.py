"""Columns of JSON, as `datasets` has objects that are not alike, are read as the file of those objects is."""

import json
from datetime import datetime
from pathlib import Path

import datasets
import polars as pl
import pytest

from factory.errors import InputError
from factory.readers import read_pairs


def _written(folder: Path) -> tuple[Path, datasets.Dataset]:
    """Conversations whose prompts are parts in every second row, and notes of several kinds."""
    notes = [{"a": 1}, "text", [1, "b"], None]
    asked = [[{"type": "text", "text": f"q{n}"}] if n % 2 else f"q{n}" for n in range(4)]
    rows = [
        {
            **{
                side: [{"role": "user", "content": asked[n]}, {"role": "assistant", "content": f"{side} {n}", "by": n}]
                for side in ("chosen", "rejected")
            },
            "note": notes[n],
        }
        for n in range(4)
    ]
    file = folder / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file, datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=str(folder / "cache"))


def test_they_are_read_alike_from_a_file_a_data_set_and_parquet(tmp_path: Path) -> None:
    file, data = _written(tmp_path)
    assert isinstance(data.features["note"], datasets.Json)
    data.to_parquet(tmp_path / "x.parquet")
    want = read_pairs(file)
    assert {turn["content"] for prompt in want.kept.collect()["prompt"] for turn in prompt} == {"q0", "q1", "q2", "q3"}
    split = datasets.DatasetDict(train=data, test=data.select([]))
    for given in (data, data.to_polars(), tmp_path / "x.parquet", split):
        found = read_pairs(given)
        wanted = want.kept.drop("source").collect().sort("pair_id")
        assert found.kept.drop("source").collect().sort("pair_id").equals(wanted)
        assert any("by" in warning for warning in found.parts[0].warnings)


def test_what_lies_beside_them_and_is_no_json_is_a_text(tmp_path: Path) -> None:
    _, data = _written(tmp_path)
    frame = data.to_polars().with_columns(at=pl.lit(datetime(2026, 1, 2)))
    assert read_pairs(frame).kept.collect()["at"].unique().to_list() == ["2026-01-02 00:00:00"]


def test_a_damaged_file_of_them_is_named(tmp_path: Path) -> None:
    _, data = _written(tmp_path)
    file = tmp_path / "x.parquet"
    data.to_parquet(file)
    held = file.read_bytes()
    file.write_bytes(held[:4] + b"\xff" * 36 + held[40:])
    with pytest.raises(InputError, match=r"x\.parquet: cannot be read"):
        read_pairs(file)
