"""What becomes of a result whose reader is gone, or that cannot be written, and of Ctrl-C before there is a command."""

import os
import subprocess
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest

from factory.__main__ import main

FULL = Path("/dev/full")


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


@pytest.mark.skipif(not FULL.exists(), reason="Linux's disk that is always full")
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
