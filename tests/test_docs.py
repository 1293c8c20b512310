"""Every `sso-factory` line in README and docs is one that the command line understands."""

import re
import shlex
from pathlib import Path

import click
import pytest

from factory.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINES = [
    pytest.param(line, id=f"{page.stem}: {line[:60]}")
    for page in PAGES
    for line in page.read_text(encoding="utf-8").splitlines()
    if line.startswith("sso-factory ")
]


@pytest.mark.parametrize("line", LINES)
def test_the_command_and_its_options_exist(line: str) -> None:
    command = re.split(r"\s{3,}", line)[0].translate(str.maketrans("", "", "[]"))  # what follows is an explanation
    _, name, *words = shlex.split(command)
    found = main.commands[name]
    if isinstance(found, click.Group):
        found = found.commands[words[0]]
    known = {option for parameter in found.params if isinstance(parameter, click.Option) for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_there_are_lines_to_check() -> None:
    assert len(LINES) >= 10
