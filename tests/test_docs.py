"""Every `sso-factory` line of README and docs parses and sets keys that exist; pages are linked, and link right."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

import factory
from factory.cli import main
from factory.commands.explain import page as page_of_reference
from factory.commands.init import PRESETS
from factory.config import Answering, Training
from factory.config.load import load_config, override
from factory.exports import EXPORTERS
from factory.exports.eval_files import EVAL_FORMATS
from factory.line.preflight import preflight
from factory.reward.config import RewardScoring, RewardTraining

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
AGENTS = [ROOT / "llms.txt", ROOT / "skills/sso-factory/SKILL.md"]
PAGES = [README, *AGENTS, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS: dict[str, type[BaseModel]] = {
    "answers": Answering,
    "train": Training,
    "reward train": RewardTraining,
    "reward score": RewardScoring,
}
"""What `--set` reaches into, for the commands that take no configuration file."""
LINES = [
    pytest.param(line, id=f"{page.stem}: {line[:60]}")
    for page in PAGES
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    if line.startswith("sso-factory ")
]


def understood(line: str) -> tuple[str, dict[str, Any]]:
    """The command's name and its arguments as click reads them, which raises what a user would be told."""
    command = re.split(r"\s{3,}", line)[0]  # what follows is an explanation
    command = re.sub(r"\[(--[^\]]*)\](\.\.\.)?", r"\1", command)
    _, name, *words = shlex.split(command)
    found = main.commands[name]
    if isinstance(found, click.Group):
        name, found = f"{name} {words[0]}", found.commands[words.pop(0)]
    return name, found.make_context(name, words).params


@pytest.mark.parametrize("line", LINES)
def test_the_command_is_one_that_is_understood(line: str) -> None:
    name, given = understood(line)
    assert given.get("preset", "paper") in {*PRESETS, "|".join(PRESETS)}
    formats = EVAL_FORMATS if name == "answers" else EXPORTERS
    assert given.get("fmt", "rm") in {*formats, "FORMAT", "|".join(EVAL_FORMATS)}
    sets = [text for text in given.get("sets", ()) if "key.path" not in text]
    if name in BLOCKS:
        override({}, sets, BLOCKS[name])
    elif sets:
        config = ROOT / str(given["config"])
        load_config(config if config.is_file() else ROOT / "factory/presets/quickstart.yaml", sets)


RUNS = [line for line in LINES if str(line.values[0]).startswith("sso-factory run mine/")]
"""Those of a configuration that `init` writes."""


@pytest.mark.parametrize("line", RUNS)
def test_a_run_of_what_init_writes_can_begin(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    config = next(path for path in factory.init(tmp_path, "paper") if path.suffix == ".yaml")
    preflight(load_config(config, understood(line)[1]["sets"]))


def test_there_are_lines_to_check() -> None:
    assert len(LINES) >= 40
    assert len(RUNS) >= 10


@pytest.mark.parametrize(
    "line",
    [
        "sso-factory run",
        "sso-factory run a.yaml --untill train",
        "sso-factory export runs/demo --out out",
        "sso-factory audit pairs.parquet --judge gpt-4o --sample 0 --out audit",
    ],
)
def test_the_check_bites(line: str) -> None:
    with pytest.raises(click.UsageError):
        understood(line)


def test_the_reference_is_the_code_s() -> None:
    assert (ROOT / "docs/reference.md").read_text(encoding="utf-8") == page_of_reference(), (
        "write it anew: sso-factory explain --all > docs/reference.md"
    )


def links(page: Path) -> list[str]:
    """Addresses that a page links to, those of the web left out."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"\]\(([^()\s]+)\)", text)
    return [address for address in found if not re.match(r"[a-z]+:", address)]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for address in links(page):
        path, _, anchor = address.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), address
        assert not anchor or anchor in headings(target), address


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_code_is_one_to_the_site_too(page: Path) -> None:
    """Python-Markdown, which the site is made with, takes a fence with a second word for a paragraph."""
    assert re.findall(r"^ *```\S+ .*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE) == []


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {(README.parent / address.partition("#")[0]).resolve() for address in links(README)}
    assert [str(page.relative_to(ROOT)) for page in PAGES[1:] if page.resolve() not in linked] == []
