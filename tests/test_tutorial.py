"""docs/tutorial.md is run: its commands in order in an empty folder; what it shows is held against what comes out."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```([\w-]+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)

MORE = "…"
"""Ends what the page shows where more follows that depends on the machine."""

pytestmark = [pytest.mark.integration, pytest.mark.slow]


class Step(NamedTuple):
    """Commands of the page, and what it shows of their output."""

    language: str
    code: str
    shown: str | None = None
    varies: bool = False
    """Whether the numbers depend on the machine: then only the first word of each line must be the same."""


def steps(text: str) -> list[Step]:
    """The blocks of the page: `sh` and `python` are run, a `text` one is the output of the one before it."""
    made: list[Step] = []
    for language, code in BLOCK.findall(text):
        if language in ("text", "text-varies"):
            made[-1] = made[-1]._replace(shown=code, varies=language == "text-varies")
        else:
            made.append(Step(language, code))
    return made


def run(step: Step, folder: Path) -> str:
    """The standard output of a step; a command that fails ends the test with what it said."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = {"sh": ["sh", "-euc"], "python": [sys.executable, "-c"]}[step.language]
    done = subprocess.run(
        [*command, step.code],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{step.code}\n{done.stderr[-2000:]}"
    return done.stdout


def lines(text: str, varies: bool) -> list[str]:
    """The lines to compare; the rule under a table's head is left out, since its length is that of the numbers."""
    written = [" ".join(line.split()) for line in text.splitlines() if line.strip(" ─")]
    return [line.split()[0] for line in written] if varies else written


def test_the_page_is_what_runs(tmp_path: Path) -> None:
    for step in steps(PAGE.read_text(encoding="utf-8")):
        printed = lines(run(step, tmp_path), step.varies)
        if step.shown is not None:
            wanted = lines(step.shown, step.varies)
            if wanted[-1] == MORE:
                wanted, printed = wanted[:-1], printed[: len(wanted) - 1]
            assert printed == wanted, step.code


def test_the_page_shows_and_runs_all_that_it_promises() -> None:
    found = steps(PAGE.read_text(encoding="utf-8"))
    code = "\n".join(step.code for step in found)
    commands = re.findall(r"^sso-factory (reward \w+|[\w-]+)", code, flags=re.MULTILINE)
    wanted = "init, run, run, status, filter, export, check-data, reward train, reward score, report"
    assert commands == wanted.split(", ")
    assert len([step for step in found if step.shown is not None and not step.varies]) >= 4


def test_a_page_that_shows_something_else_is_noticed(tmp_path: Path) -> None:
    page = "```sh\necho one 1\n```\n\n```text\none 2\n```\n\n```sh\necho two 1\n```\n\n```text-varies\ntwo 2\n```\n"
    first, second = steps(page)
    assert lines(run(first, tmp_path), first.varies) != lines(str(first.shown), first.varies)
    assert lines(run(second, tmp_path), second.varies) == lines(str(second.shown), second.varies)
    with pytest.raises(AssertionError, match="exit 3"):
        run(Step("sh", "exit 3"), tmp_path)
