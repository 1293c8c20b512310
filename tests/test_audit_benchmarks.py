"""The programs that measure the audit and the filters' rules run, on judges that they make up."""

import sys
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs put the project's root where Python puts theirs."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])


def test_intervals_are_held_against_the_truth() -> None:
    """Agreement never holds it; how far the others do is measured with more draws than a test has time for."""
    program = run_path(str(BENCHMARKS / "audit.py"))
    judge = program["made_up"]()["judge of 76 %"]
    assert abs(judge.mean() - 0.76) < 0.01
    found = program["cell"](judge, 0.9, 50, draws=40)
    assert found["agreement"][0] == 0
    assert found["estimate"][0] >= 0.8
    assert found["estimate"][1] <= found["labels"][1]


def test_rules_are_held_against_the_truth() -> None:
    """A good judge asked strictly leaves fewer pairs, more of them right; it says of them 1, by construction."""
    program = run_path(str(BENCHMARKS / "filter_rules.py"))
    known = program["made_up"]()
    right = np.random.default_rng(1).random(len(known.ids)) >= 0.2
    votes = program["judgments"](known, right)
    rules = list(program["rules"]().values())
    easy, strict = (program["left"](known, ("GPT-4",), rule, right, votes, 1) for rule in rules)
    assert right.mean() < easy.right < strict.right
    assert strict.kept < easy.kept < 1
    assert strict.agreement == 1 > easy.agreement
    assert strict.balanced <= strict.kept
