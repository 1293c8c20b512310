"""Disk full, folders that cannot be written, damaged files, signals: one sentence, and the same command goes on."""

import errno
import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from factory.cli import main
from factory.progress import Silent
from factory.store import open_run
from tests.children import ROOT, child, quickstart, stopped
from tests.integration.test_crash import contents
from tests.integration.test_kill_judging import command
from tests.loopback import Loopback, judging, longer

pytestmark = pytest.mark.integration


def here(run_dir: Path, *sets: str) -> Result:
    return CliRunner().invoke(main, quickstart(run_dir, *sets))


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    run_dir = tmp_path_factory.mktemp("unbroken") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert here(run_dir).exit_code == 0
    return contents(run_dir)


def sentence(said: str) -> str:
    """The one sentence of a command that failed."""
    assert "Traceback" not in said, said
    (found,) = [line for line in said.splitlines() if line.startswith("sso-factory: ")]
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("this user may not mount a file system")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_is_one_sentence_and_the_run_goes_on(small_disk: Path, unbroken: dict[str, str]) -> None:
    """40, then 120 kB are free: the disk fills up in two different places."""
    ballast, run_dir = small_disk / "ballast", small_disk / "run"
    for free in (40_000, 120_000):
        with ballast.open("wb") as file:
            file.write(b"\0" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - free))
        done = child(quickstart(run_dir))
        assert done.returncode == 1, done.stderr
        assert os.strerror(errno.ENOSPC) in sentence(done.stderr)
        ballast.unlink()
    assert here(run_dir).exit_code == 0
    assert contents(run_dir) == unbroken


@pytest.mark.parametrize("most", [1_500, 6_000, 20_000])
def test_a_file_that_may_not_grow_is_one_sentence_and_the_run_goes_on(
    most: int, tmp_path: Path, unbroken: dict[str, str]
) -> None:
    """As under a quota: writing beyond `most` bytes of any file fails."""
    done = child(quickstart(tmp_path / "run"), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    assert done.returncode == 1, done.stderr
    assert os.strerror(errno.EFBIG) in sentence(done.stderr)
    assert here(tmp_path / "run").exit_code == 0
    assert contents(tmp_path / "run") == unbroken


def test_a_folder_that_may_not_be_written_is_one_sentence(small_disk: Path) -> None:
    run_dir = small_disk / "run"
    assert here(run_dir, "run.iterations=1").exit_code == 0
    before = contents(run_dir)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    again = here(run_dir, "run.iterations=2")
    assert again.exit_code == 1
    assert f"{run_dir}: the folder cannot be written" in sentence(again.output)
    elsewhere = here(small_disk / "other")
    assert elsewhere.exit_code == 1
    assert "Read-only file system" in sentence(elsewhere.output)
    assert contents(run_dir) == before
    assert CliRunner().invoke(main, ["status", str(run_dir)]).exit_code == 0


def test_a_garbage_line_in_a_journal_costs_that_answer_alone(tmp_path: Path, unbroken: dict[str, str]) -> None:
    run_dir = tmp_path / "run"
    assert here(run_dir).exit_code == 0
    journal = run_dir / "iterations/1/triples.journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"\xff{garbage\n", *lines[4:]]))
    (run_dir / "iterations/1/triples.manifest.json").unlink()
    done = here(run_dir)
    assert done.exit_code == 0, done.output
    assert "iterations/1/triples: 1 unreadable lines of the journal are left aside" in done.output
    assert f"{len(lines) - 1} of {len(lines)} answers are in the journal" in done.output
    assert contents(run_dir) == unbroken


@pytest.mark.parametrize(
    ("file", "word"),
    [("iterations/2/triples.parquet", "has other contents"), ("iterations/1/scores.parquet", "is gone")],
)
def test_a_damaged_or_deleted_table_is_made_again(
    file: str, word: str, tmp_path: Path, unbroken: dict[str, str]
) -> None:
    run_dir = tmp_path / "run"
    assert here(run_dir).exit_code == 0
    path = run_dir / file
    if word == "is gone":
        path.unlink()
    else:
        path.write_bytes(b"\0" * path.stat().st_size)
    done = here(run_dir)
    assert done.exit_code == 0, done.output
    assert f"{file.removesuffix('.parquet')}: made again, because {path.name} {word}" in done.output
    assert done.output.count("made again") == 1, "what follows from the same bytes is reused"
    found = contents(run_dir)
    assert (found.pop(f"set-aside/{file}", None) is not None) == (word != "is gone"), "it may be somebody's own work"
    assert found == unbroken


def test_a_run_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    assert here(tmp_path / "run", "run.iterations=1").exit_code == 0
    manifest = tmp_path / "run/iterations/1/features.manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 99}))
    before = contents(tmp_path / "run")
    done = here(tmp_path / "run", "run.iterations=1")
    assert done.exit_code == 1
    assert "features.manifest.json was written by a newer version of sso-factory; upgrade" in sentence(done.output)
    assert contents(tmp_path / "run") == before


def test_a_second_process_on_one_run_stops_at_once(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", Silent()):
        done = child(quickstart(tmp_path / "run"))
    assert done.returncode == 1
    assert f"in use by process {os.getpid()}" in sentence(done.stderr)
    assert {path.name for path in (tmp_path / "run").iterdir()} == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_how_to_go_on_and_goes_on(number: int, tmp_path: Path, unbroken: dict[str, str]) -> None:
    run_dir = tmp_path / "run"
    journal = run_dir / "iterations/1/triples.journal.jsonl"

    def under_way() -> bool:
        return journal.is_file() and journal.read_bytes().count(b"\n") >= 3

    code, said = stopped(quickstart(run_dir, "engine.delay=0.05"), under_way, number)
    assert code == 130
    assert sentence(said) == "sso-factory: stopped; the same command goes on from here"
    answers = [json.loads(line) for line in journal.read_bytes().splitlines()]
    done = here(run_dir)
    assert done.exit_code == 0
    assert f"{len(answers)} of " in done.stderr, "no answer is asked for again"
    assert contents(run_dir) == unbroken


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_amid_requests_everything_that_came_is_kept(number: int, tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "chosen": "c" * (1 + n % 7), "rejected": "r" * (1 + n % 5)} for n in range(300)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Loopback(judging(longer), latency=0.02) as server:
        arguments = command(tmp_path, server, "out")[3:]
        code, said = stopped(arguments, lambda: len(server.asked) > 100, number)
        assert code == 130
        assert sentence(said) == "sso-factory: stopped; the same command goes on from here"
        asked = len(server.asked)
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        assert len(server.asked) - asked <= 600 - asked + 8, "at most those in flight are asked again"
    assert pl.read_parquet(tmp_path / "out/judgments.parquet").height == 600
