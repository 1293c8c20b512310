"""docs/paper.md: every file, definition, key, value, option and column that it names exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from factory.config import Config
from factory.config.load import load_config, override
from factory.schema import SCORES
from filters import FILTERS, PRESETS
from filters.votes import RULES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([^`]+)`", TEXT)))
PAPER = load_config(ROOT / "factory/presets/paper.yaml")
FORMS = ("FILE::NAME", "BLOCK.KEY")
"""How the page says what the others look like."""


def defined(path: Path) -> set[str]:
    """The names that a file defines at its top."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def blocks(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `list[Judge]` or `Judge | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from blocks(inner)


def is_key(dotted: str) -> bool:
    """Whether `dotted` leads to a key of the configuration."""
    models: list[type[BaseModel]] = [Config]
    for name in dotted.split("."):
        fields = [model.model_fields[name] for model in models if name in model.model_fields]
        if not fields:
            return False
        models = [block for field in fields for block in blocks(field.annotation)]
    return True


def is_option(dotted: str) -> bool:
    """Whether `dotted` is an option of a filter."""
    name, _, option = dotted.partition(".")
    return name in FILTERS and option in resolve_name(FILTERS[name]).model_fields


def at(config: Any, path: str) -> Any:
    """The value that `path` leads to."""
    for part in path.split("."):
        config = config[int(part)] if part.isdigit() else getattr(config, part)
    return config


def takes(key: str, value: str) -> bool:
    """Whether the paper's configuration takes `value` for the key; a number must be what it has there.

    Raises what the configuration says when it does not take it.
    """
    path = key.replace("judges.", "judges.0.")
    wanted = yaml.safe_load(value)
    own = at(PAPER, path)
    taken = at(override(PAPER.model_dump(), [f"{path}={value}"], Config), path)
    return bool(taken == wanted and (isinstance(wanted, str | bool) or own == wanted))


@pytest.mark.parametrize("named", [name for name in NAMED if name not in FORMS])
def test_what_the_page_names_exists(named: str) -> None:
    path, _, name = named.partition("::")
    key, _, value = named.partition(": ")
    if "/" in named:
        assert (ROOT / path).exists()
        assert not name or name in defined(ROOT / path)
    elif value:
        assert is_key(key)
        assert takes(key, value)
    else:
        assert is_key(named) or is_option(named) or named in {*FILTERS, *PRESETS, *RULES, *SCORES.columns}


def test_the_checks_bite() -> None:
    assert not is_key("training.gama")
    assert not is_option("length_gap.max_char")
    assert not takes("training.gamma", "0.2")
    assert "combined" not in defined(ROOT / "factory/training/sso.py")


def test_every_equation_of_the_paper_has_its_row() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| eq. ")]
    assert [row.split()[2].strip(",") for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert all("::" in row for row in rows)
