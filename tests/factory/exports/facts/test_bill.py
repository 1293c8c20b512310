"""The bill: one function for the end of a run, status, report and card, and what the server charged is what it says."""

import json
from pathlib import Path

import pytest

import factory
from factory.errors import EngineError
from factory.exports.facts.bill import LOST, Bill, Charge
from factory.exports.facts.run import run_facts
from factory.terminal import show
from tests import loopback
from tests.factory.engines.api.test_money import _environment, charged, config, speak  # noqa: F401 - a fixture
from tests.loopback import Loopback


def test_the_bill_is_what_the_server_charged_and_stands_everywhere(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        settings = config(tmp_path, server)
        settings = settings.model_copy(update={"export": settings.export.model_copy(update={"formats": ["rm"]})})
        made = factory.run(settings, check=False)
        found, spent = made.bill, charged(server)
    root = tmp_path / "run"
    assert found == factory.bill(root) == run_facts(root).bill
    assert [row.name for row in found.rows] == ["policy", "judge J", "audit A"]
    assert found.total.requests == len(server.asked)
    assert found.total.cost == found.total.prompt_tokens + found.total.completion_tokens == spent
    assert found.kept == made.funnel.kept > 0
    assert found.per_pair == pytest.approx(spent / found.kept)
    for text in (show.outcome(made), show.status(factory.status(root), found)):
        assert f"{found.per_pair:,.4g} for each of {found.kept} kept pairs" in text
    card, report = ((root / name).read_text() for name in ("exports/rm/README.md", "report.html"))
    assert f"| total | {found.total.requests:,} |" in card
    assert f"{spent:,.2f}" in card
    assert f"{spent:,.2f}" in report


def test_what_is_under_way_is_counted_by_its_journals(tmp_path: Path) -> None:
    """Answers that came amiss are in no journal, and on the bill all the same."""
    with Loopback(speak, loopback.first_try([loopback.HALF] * 2)) as server:
        with pytest.raises(EngineError, match=r"run\.max_cost is reached"):
            factory.run(config(tmp_path, server, run={"max_cost": 6000}), check=False)
        found = factory.bill(tmp_path / "run")
    policy, lost = found.rows
    assert (policy.name, lost.name, lost.requests, lost.tokens) == ("policy", LOST, None, 0)
    assert next(line for line in show.bill(found).splitlines() if LOST in line).count("–") == 4
    assert found.total.requests == policy.requests
    assert policy.requests == len(server.asked) - 2
    assert (lost.cost or 0.0) + (policy.cost or 0.0) >= charged(server)
    assert found.kept is None


def test_a_bill_by_hand() -> None:
    """3 and 1.5 for 3 pairs are 1.5 each; who has no price adds nothing."""
    rows = [
        Charge(name="a", requests=2, cost=3.0, seconds=1.0),
        Charge(name="b", requests=1, cost=1.5),
        Charge(name="c"),
    ]
    found = Bill(rows=rows, kept=3)
    assert (found.total.requests, found.total.cost, found.total.seconds, found.per_pair) == (3, 4.5, 1.0, 1.5)
    assert Bill(rows=rows, kept=0).per_pair is None
    assert Bill(rows=[Charge(name="a", requests=9)], kept=3).total.cost is None
    assert Bill().total.requests == 0
    assert show.bill(Bill()) == ""


def test_no_scorer_is_on_the_bill_and_no_folder_of_a_machine(tmp_path: Path) -> None:
    used = {"requests": 2, "prompt_tokens": 5, "completion_tokens": 0, "cost": 0.0, "seconds": 1.0}
    manifest = {"version": 1, "stage": "filter", "fingerprint": "", "inputs": {}, "outputs": {}, "facts": {}}
    asked = {"scores 1": used, "judge /home/me/models/mine": used}
    (tmp_path / "filter.manifest.json").write_text(json.dumps({**manifest, "used": asked}))
    assert [row.name for row in factory.bill(tmp_path).rows] == ["judge mine"]
