"""The whole line on Ray ends in the bytes of the same line without it."""

from pathlib import Path

import pytest

import factory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.integration,
    # Ray warns of its own options.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]
ROOT = Path(__file__).parents[2]


def tables(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.parquet"))}


def quickstart(run: Path, *sets: str) -> dict[str, bytes]:
    factory.run(factory.load_config(ROOT / "examples" / "quickstart.yaml", list(sets)), run)
    return tables(run)


def test_blocks_in_any_order_end_in_the_same_pairs(tmp_path: Path) -> None:
    here = quickstart(tmp_path / "here", "engine=scripted", "run.iterations=1")
    there = quickstart(
        tmp_path / "there",
        "engine={kind: ray, engine: {kind: scripted}, concurrency: 2, num_cpus: 0.5, block_size: 4}",
        "run.iterations=1",
    )
    assert len(here) > 8
    assert there == here
