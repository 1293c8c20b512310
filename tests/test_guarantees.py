"""docs/guarantees.md names tests; each of them exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_named_exists(file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_one() -> None:
    promised = TEXT.split("## What is not promised")[0]
    rows = [line for line in promised.splitlines() if line.startswith("| ") and "shown by" not in line]
    assert len(rows) >= 25
    assert [row for row in rows if "`tests/" not in row] == []
