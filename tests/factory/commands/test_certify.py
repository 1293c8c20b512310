"""`audit --certify`: what is asked, when that stops, and what is said of it."""

import json
from pathlib import Path

import polars as pl
import pytest

from factory.commands.audit import audit
from factory.errors import EngineError
from factory.readers import load_pairs
from factory.stages.audit_model import AuditReport
from factory.stages.certify import certificate
from factory.statistics.sequential import Certifier
from tests import loopback
from tests.factory.commands.test_audit import pairs_file
from tests.loopback import Loopback, judging, longer


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_a_certificate_stops_asking(tmp_path: Path) -> None:
    """190 of 200 pairs have the longer reply chosen, which the judge likes: far over 0.75, and little is asked."""
    pairs = pairs_file(tmp_path, right=190, wrong=10)
    with Loopback(judging(longer)) as server:
        found = audit(pairs, out=tmp_path / "out", base_url=server.base_url, certify=0.75)
        asked = len(server.asked)
        again = audit(pairs, out=tmp_path / "out", base_url=server.base_url, certify=0.75)
        assert len(server.asked) == asked
        less = audit(pairs, out=tmp_path / "less", base_url=server.base_url, certify=0.99)
        unsure = audit(pairs, out=tmp_path / "few", base_url=server.base_url, certify=0.93, sample=20)
    assert isinstance(found, AuditReport)
    assert isinstance(less, AuditReport)
    assert isinstance(unsure, AuditReport)
    assert found.certificate is not None
    assert less.certificate is not None
    assert unsure.certificate is not None
    assert found == again
    assert (found.certificate.verdict, found.certificate.measure) == ("above", "agreement")
    assert found.certificate.low >= 0.75
    assert (found.certificate.drawn, found.requests) == (found.pairs, asked)
    assert asked == 2 * found.pairs <= 100
    assert found.meaning.startswith("Certified at a risk of 5 %: the agreement is at least 75 % of all 200 pairs; of ")
    assert "no accuracy" in found.meaning
    assert found.estimate is not None
    assert (found.estimate.low, found.estimate.high) == (found.certificate.low, found.certificate.high)
    assert less.certificate.verdict == "below"
    assert (unsure.certificate.verdict, unsure.certificate.drawn) == ("undecided", 20)
    assert unsure.meaning.startswith("Not certain whether the agreement is at least 93 % of all 200 pairs: of 20 pairs")
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["certificate"]["verdict"] == "above"
    assert "Certified at a risk of 5 %" in (tmp_path / "out" / "audit.md").read_text()


def test_a_pair_is_not_right_where_the_verdict_turns_with_the_order(tmp_path: Path) -> None:
    with Loopback(judging(lambda first, second: 1.0)) as server:
        pairs = pairs_file(tmp_path, right=30, wrong=10)
        found = audit(pairs, out=tmp_path / "out", base_url=server.base_url, certify=0.5)
    assert isinstance(found, AuditReport)
    assert found.certificate is not None
    assert (found.certificate.right, found.certificate.verdict) == (0, "below")


def test_no_more_is_said_to_be_certified_than_was() -> None:
    """One decimal would make 99.96 % 100.0 %, which is not so."""
    found = certificate(Certifier(5000, 0.9996), 4998, 5000, 5000, 0.9996, "agreement")
    assert found.says("j").startswith(
        "Certified at a risk of 5 %: the agreement is at least 99.96 % of all 5,000 pairs"
    )
    assert " 7 % of all" in certificate(Certifier(100, 0.07), 1, 2, 100, 0.07, "agreement").says("j")


def test_a_stopped_certificate_goes_on_with_the_same_pairs(tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path, right=190, wrong=10)
    spent = [True]
    fault = lambda seen: loopback.no_quota() if spent[0] and seen.number >= 21 else None  # noqa: E731
    with Loopback(judging(longer), fault) as server:
        with pytest.raises(EngineError, match="no credit left"):
            audit(pairs, out=tmp_path / "broken", base_url=server.base_url, certify=0.75)
        spent[0], before = False, len(server.asked)
        broken = audit(pairs, out=tmp_path / "broken", base_url=server.base_url, certify=0.75)
        after = len(server.asked) - before
        unbroken = audit(pairs, out=tmp_path / "unbroken", base_url=server.base_url, certify=0.75)
    assert isinstance(broken, AuditReport)
    assert broken == unbroken
    assert after < broken.requests


def test_labels_are_held_against_a_share(tmp_path: Path) -> None:
    """With labels it is accuracy that is certified, from these alone; the judge is asked about all pairs."""
    pairs = pairs_file(tmp_path, right=30, wrong=10)
    ids = load_pairs(pairs)["pair_id"].to_list()
    pl.DataFrame({"pair_id": ids[:30], "label": "chosen"}).write_parquet(tmp_path / "labels.parquet")
    with Loopback(judging(longer)) as server:
        labels = str(tmp_path / "labels.parquet")
        found = audit(pairs, out=tmp_path / "out", base_url=server.base_url, certify=0.75, gold=labels)
    assert isinstance(found, AuditReport)
    assert found.certificate is not None
    assert (found.certificate.measure, found.certificate.verdict, found.certificate.drawn) == ("accuracy", "above", 30)
    assert found.pairs == 40
    assert "the accuracy is at least 75 % of all 40 pairs; of 30 pairs people preferred" in found.meaning
