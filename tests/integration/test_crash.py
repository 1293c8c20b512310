"""kill -9 wherever the disk changes: the same command ends in the same bytes."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from factory.identity import digest
from factory.store.ownership import RECORD

ROOT = Path(__file__).parents[2]
KILLS = 40

pytestmark = [pytest.mark.integration, pytest.mark.slow]


ROUNDS = (
    "run.iterations=1",
    "prompts.target_pairs=100",
    "prompts.per_round=5",
    "filters=[{use: duplicate}, {use: judge_agrees}]",
)
"""One iteration and two further rounds, until the prompts run out."""


def run(folder: Path, die_at: int, *sets: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.integration.die_at", str(die_at)]
    command += ["run", "examples/quickstart.yaml", "--run-dir", str(folder), "--set", "engine.kind=scripted"]
    command += [part for text in sets for part in ("--set", text)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def contents(folder: Path) -> dict[str, str]:
    """Digest of every table, export and its record.

    Journals keep the order of arrival, manifests and report tell times, and the folder's own record knows the report.
    """
    skipped = ("journal.jsonl", "manifest.json", ".lock", "report.html")
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(skipped))
    files = (path for path in files if path != folder / RECORD)
    return {path.relative_to(folder).as_posix(): digest(path.read_bytes().hex()) for path in files}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], int]:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    done = run(folder, 0)
    assert done.returncode == 0, done.stderr
    return contents(folder), int(done.stdout.split()[-1])


def test_the_run_is_the_same_twice(unbroken: tuple[dict[str, str], int], tmp_path: Path) -> None:
    assert run(tmp_path / "run", 0).returncode == 0
    assert contents(tmp_path / "run") == unbroken[0]


def test_a_run_killed_anywhere_ends_in_the_same_bytes(unbroken: tuple[dict[str, str], int], tmp_path: Path) -> None:
    expected, points = unbroken
    width = points / KILLS
    chosen = [1 + int(width * place) + random.Random(place).randrange(int(width)) for place in range(KILLS)]

    def killed_and_resumed(point: int) -> tuple[int, str]:
        folder = tmp_path / str(point) / "run"
        if run(folder, point).returncode != -9:
            return point, "did not die"
        done = run(folder, 0)
        if done.returncode != 0:
            return point, done.stderr[-500:]
        return point, "" if contents(folder) == expected else "other bytes"

    with ThreadPoolExecutor(2) as pool:
        wrong = [(point, problem) for point, problem in pool.map(killed_and_resumed, chosen) if problem]
    assert len(set(chosen)) == KILLS
    assert wrong == []


def test_a_run_killed_over_and_over_ends_in_the_same_bytes(
    unbroken: tuple[dict[str, str], int], tmp_path: Path
) -> None:
    expected, points = unbroken
    deaths = 0
    for stretch in range(10):
        deaths += run(tmp_path / "run", points // 12 + stretch).returncode == -9
    assert deaths >= 5
    assert run(tmp_path / "run", 0).returncode == 0
    assert contents(tmp_path / "run") == expected


def test_rounds_towards_a_target_killed_anywhere_end_in_the_same_bytes(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole" / "run", 0, *ROUNDS)
    assert whole.returncode == 0, whole.stderr
    points, expected = int(whole.stdout.split()[-1]), contents(tmp_path / "whole" / "run")
    assert "iterations/3/triples.parquet" in expected
    deaths = 0
    for kill in range(12):
        deaths += run(tmp_path / "broken" / "run", points // 16 + 3 * kill, *ROUNDS).returncode == -9
    assert deaths >= 8
    assert run(tmp_path / "broken" / "run", 0, *ROUNDS).returncode == 0
    assert contents(tmp_path / "broken" / "run") == expected
