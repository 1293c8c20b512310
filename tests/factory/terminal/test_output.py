"""What becomes of a result whose reader is gone, or that cannot be written, and of Ctrl-C before there is a command."""

import json
import os
import signal
import subprocess
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import polars as pl
import pytest
from pydantic import BaseModel

from factory.__main__ import main
from factory.terminal.show import as_json

FULL = Path("/dev/full")
LINUX = pytest.mark.skipif(not FULL.exists(), reason="Linux's disk that is always full")


def run(stdout: int, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "factory", *words]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [("explain", "gamma"), ("--version",)])
def test_a_reader_who_has_enough_hears_nothing(words: tuple[str, ...]) -> None:
    """As `| head` leaves; a help text ends as click lets it."""
    gone, stdout = os.pipe()
    os.close(gone)
    try:
        code, said = run(stdout, *words)
    finally:
        os.close(stdout)
    assert said == ""
    assert code == (words == ("--version",))


@pytest.mark.parametrize("disk", [None, pytest.param(FULL, marks=LINUX)])
def test_no_work_ends_as_its_log_cannot_be_written(disk: Path | None, tmp_path: Path) -> None:
    """Its reader is gone, or the disk it goes to is full."""
    pl.DataFrame({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]}).write_parquet(tmp_path / "p.parquet")
    gone, log = (None, os.open(disk, os.O_WRONLY)) if disk else os.pipe()
    if gone is not None:
        os.close(gone)
    command = [sys.executable, "-m", "factory", "filter", str(tmp_path / "p.parquet"), "--out", str(tmp_path / "out")]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, check=False)
    finally:
        os.close(log)
    assert done.returncode == 0
    assert b"input" in done.stdout
    assert (tmp_path / "out/kept.parquet").is_file()


@pytest.mark.parametrize("words", [("explain", "scores.original"), ("run", "--help")])
def test_what_an_encoding_does_not_have_is_written_otherwise(words: tuple[str, ...]) -> None:
    command, environment = [sys.executable, "-m", "factory", *words], {**os.environ, "PYTHONIOENCODING": "iso-8859-6"}
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert done.stderr == b""
    assert b"\\" in done.stdout


def test_no_name_in_a_result_steers_the_terminal_and_json_has_it_as_it_is(tmp_path: Path) -> None:
    name = "r\x1b[2J\u202en"
    (tmp_path / name).mkdir()
    (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / name / f"{name}.journal.jsonl").write_text("")
    command = [sys.executable, "-m", "factory", "status", str(tmp_path / name)]
    text, told = (
        subprocess.run([*command, *more], capture_output=True, check=True, encoding="utf-8").stdout
        for more in ([], ["--json"])
    )
    assert "r [2J n" in text
    assert all(line.isprintable() for line in text.splitlines())
    assert json.loads(told)["stages"][0]["name"] == name


def test_what_is_no_number_is_null_in_json() -> None:
    class Measured(BaseModel):
        share: float

    found = {
        "a": float("nan"),
        "frame": pl.DataFrame({"b": [float("inf"), 1.0]}),
        "model": Measured(share=float("nan")),
    }
    shown = json.loads(as_json(found), parse_constant=pytest.fail)
    assert shown == {"a": None, "frame": [{"b": None}, {"b": 1.0}], "model": {"share": None}}


@LINUX
@pytest.mark.parametrize("words", [("explain", "gamma"), ("--help",)])
def test_what_cannot_be_written_is_one_sentence(words: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        assert run(full.fileno(), *words) == (
            1,
            "sso-factory: the disk: No space left on device; mend that and go on\n",
        )


def test_ctrl_c_before_the_command_line_is_there_ends_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "factory.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "factory.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Stopped(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


def test_ctrl_c_after_the_last_word_ends_in_silence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """While Python closes what is loaded, which takes a second after a training."""
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "argv", ["sso-factory", "--version"])
    try:
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
