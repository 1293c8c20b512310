"""What readers have polars plan stays small: an expression that names a long one several times multiplies it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from factory.readers import read_pairs, read_prompts
from tests.factory.readers.test_layouts import CASES
from tests.factory.readers.test_prompts import FORMS

MOST = 100_000
"""Letters of a plan. Where the turns of a prompt were named anew at each step there were 1,800,000, planned in 3 s."""


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of every plan that is carried out, as polars writes it."""
    found: list[int] = []
    every, one = pl.collect_all, pl.LazyFrame.collect

    def collect_all(frames: list[pl.LazyFrame], *args: Any, **options: Any) -> Any:
        found.extend(len(frame.explain(optimized=False)) for frame in frames)
        return every(frames, *args, **options)

    def collect(self: pl.LazyFrame, *args: Any, **options: Any) -> Any:
        found.append(len(self.explain(optimized=False)))
        return one(self, *args, **options)

    monkeypatch.setattr(pl, "collect_all", collect_all)
    monkeypatch.setattr(pl.LazyFrame, "collect", collect)
    return found


def read(reader: Callable[[list[str]], Any], row: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    reader([str(path)])


def test_plans_of_prompts_stay_small_in_every_form(plans: list[int], tmp_path: Path) -> None:
    for row, _ in FORMS.values():
        for system in ({}, {"system": "Be brief."}):
            read(read_prompts, system | row, tmp_path / "x.jsonl")
    assert 0 < max(plans) < MOST


def test_plans_of_pairs_stay_small_in_every_layout(plans: list[int], tmp_path: Path) -> None:
    for case in CASES.values():
        read(read_pairs, case.row([{"role": "user", "content": "Why?"}], "So.", "No."), tmp_path / "x.jsonl")
    assert 0 < max(plans) < MOST
