"""The pages for users: every command in them is one, with options that there are; every run in them can begin."""

import re
import shlex
from pathlib import Path

import click
import pytest

import factory
from factory.cli import main
from factory.line.preflight import preflight

PAGES = sorted(Path(__file__).parents[1].joinpath("docs/users").glob("*.md"))
COMMANDS = {
    f"{page.stem}: {line.strip()}": line.strip()
    for page in PAGES
    for line in re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8")).splitlines()
    if line.strip().startswith("sso-factory ")
}


def context(line: str) -> click.Context:
    """What click makes of a command line, without carrying it out. Raises UsageError for what is no command."""
    _, *args = shlex.split(line.split(" #", 1)[0])
    parent, command = click.Context(main), main
    while isinstance(command, click.Group):
        name, command, args = command.resolve_command(parent, args)
        parent = command.make_context(name, args, parent=parent) if not isinstance(command, click.Group) else parent
    return parent


def test_the_pages_have_commands():
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_pages_is_one(name, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    made = context(COMMANDS[name])
    if made.info_name != "run":
        return
    preset = "api" if "api" in str(made.params["config"]) else "paper"
    config = next(path for path in factory.init(tmp_path, preset) if path.suffix == ".yaml")
    preflight(factory.load_config(config, made.params["sets"]))


def test_a_command_that_is_none_is_found():
    for line in ("sso-factory fliter x", "sso-factory filter x --out o --nothing"):
        with pytest.raises(click.UsageError):
            context(line)
