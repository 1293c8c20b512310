"""An audit of which some pairs have a person's label: what that makes of it, and which labels are refused."""

import json
from pathlib import Path

import polars as pl
import pytest

import factory
from factory.commands.audit import audit
from factory.errors import InputError
from factory.readers import load_pairs
from factory.stages.audit_model import AuditReport
from tests.factory.commands.test_audit import _environment, pairs_file  # noqa: F401 - a fixture
from tests.loopback import Loopback, judging, longer


def test_a_column_of_labels_measures_judge_and_chosen(tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path, best="chosen")
    with Loopback(judging(longer)) as server:
        found = audit(pairs, out=tmp_path / "out", base_url=server.base_url, gold="best")
    assert isinstance(found, AuditReport)
    assert found.gold is not None
    assert (found.gold.n, found.gold.right, found.gold.chosen_right) == (16, 12, 1.0)


def test_labels_in_a_file_make_agreement_accuracy(tmp_path: Path) -> None:
    """12 of 16 pairs are right by the judge; people say 10 of 12 labelled ones are, and have labelled others too."""
    pairs = pairs_file(tmp_path)
    ids = load_pairs(pairs)["pair_id"].to_list()
    labels = ["chosen"] * 10 + ["rejected", "tie", "skip"]
    answers = pl.DataFrame({"pair_id": [*ids[:13], "another"], "label": [*labels, "chosen"], "annotator": "me"})
    answers.write_parquet(tmp_path / "labels.parquet")
    with Loopback(judging(longer)) as server:
        alone = audit(pairs, out=tmp_path / "alone", base_url=server.base_url)
        found = audit(pairs, out=tmp_path / "out", base_url=server.base_url, gold=str(tmp_path / "labels.parquet"))
        again = audit(pairs, out=tmp_path / "out", base_url=server.base_url, gold=str(tmp_path / "labels.parquet"))
        asked = len(server.asked)
        answers.head(9).write_parquet(tmp_path / "labels.parquet")
        fewer = audit(pairs, out=tmp_path / "out", base_url=server.base_url, gold=str(tmp_path / "labels.parquet"))
    assert isinstance(alone, AuditReport)
    assert isinstance(found, AuditReport)
    assert isinstance(fewer, AuditReport)
    assert alone.estimate is not None
    assert found.estimate is not None
    assert fewer.estimate is not None
    assert (alone.measure, alone.estimate.accuracy, alone.estimate.method) == ("agreement", 0.75, "agreement")
    assert (found.measure, found.estimate.n, found.estimate.n_gold) == ("accuracy", 16, 12)
    assert again == found
    assert fewer.estimate.n_gold == 9, "other labels are another audit"
    assert asked == 64
    expected = factory.estimate(
        pl.read_parquet(tmp_path / "out" / "judgments.parquet"),
        pl.DataFrame({"pair_id": ids[:9], "right": [True] * 9}),
    )
    assert fewer.estimate.model_dump() == pytest.approx(expected._asdict())
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert written["estimate"]["n_gold"] == 9
    assert written["meaning"].startswith("Accuracy ")
    assert "is agreement" in json.loads((tmp_path / "alone" / "audit.json").read_text())["meaning"]


def test_labelled_pairs_are_in_the_sample(tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path)
    ids = load_pairs(pairs)["pair_id"].to_list()
    pl.DataFrame({"pair_id": ids[3:9], "right": [True, False] * 3}).write_csv(tmp_path / "labels.csv")
    with Loopback(judging(longer)) as server:
        found = audit(
            pairs, out=tmp_path / "out", base_url=server.base_url, sample=8, gold=str(tmp_path / "labels.csv")
        )
    assert isinstance(found, AuditReport)
    assert found.estimate is not None
    assert (found.pairs, found.population, found.estimate.n_gold) == (8, 16, 6)


def test_labels_of_a_sample_speak_of_all_pairs(tmp_path: Path) -> None:
    """As many labels as pairs are audited leave open what is right among the others, for estimate and certificate."""
    pairs = pairs_file(tmp_path)
    ids = load_pairs(pairs)["pair_id"].to_list()
    labels = str(tmp_path / "labels.csv")
    pl.DataFrame({"pair_id": ids[::2], "right": [True, False, True, True] * 2}).write_csv(labels)
    with Loopback(judging(longer)) as server:
        given = {"base_url": server.base_url, "gold": labels}
        some = audit(pairs, out=tmp_path / "some", sample=8, certify=0.7, **given)
        every = audit(pairs, out=tmp_path / "every", **given)
    for found in (some, every):
        assert isinstance(found, AuditReport)
        assert found.estimate is not None
        assert found.estimate.low is not None
        assert found.estimate.high is not None
        assert found.estimate.low < 0.75 < found.estimate.high
        assert "of all 16 pairs are labelled right, by 8 labels of people" in found.meaning
        assert "which are all there are" not in found.meaning
    assert isinstance(some, AuditReport)
    assert some.certificate is not None
    assert (some.certificate.pairs, some.certificate.drawn, some.certificate.verdict) == (16, 8, "undecided")


def test_a_label_that_the_layout_used_up_says_chosen_everywhere(tmp_path: Path) -> None:
    """Its replies are in two columns and `label` names the better one: the judge is held against that."""
    rows = [
        {"prompt": f"q {n}", "response_1": "short", "response_2": "a long reply", "label": 2 if n < 9 else 1}
        for n in range(12)
    ]
    pairs = tmp_path / "labelled.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Loopback(judging(longer)) as server:
        found = audit(pairs, out=tmp_path / "out", base_url=server.base_url, gold="label")
        pairs.write_text("".join(json.dumps(row | {"response_1": "s" * 40}) + "\n" for row in rows))
        with pytest.raises(InputError, match="the pairs have no column response_1"):
            audit(pairs, out=tmp_path / "other", base_url=server.base_url, gold="response_1")
    assert isinstance(found, AuditReport)
    assert found.gold is not None
    assert (found.gold.n, found.gold.right, found.gold.wrong, found.gold.chosen_right) == (12, 9, 3, 1.0)


def test_labels_of_other_pairs_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    pl.DataFrame({"pair_id": ["a", "b"], "label": ["chosen", "tie"]}).write_parquet(tmp_path / "labels.parquet")
    with Loopback(judging(longer)) as server:
        with pytest.raises(InputError, match="none of the 2 labels is of a pair in what was given"):
            audit(
                pairs_file(tmp_path),
                out=tmp_path / "out",
                base_url=server.base_url,
                gold=str(tmp_path / "labels.parquet"),
            )
        with pytest.raises(InputError, match=r"absent\.parquet"):
            audit(
                pairs_file(tmp_path),
                out=tmp_path / "out",
                base_url=server.base_url,
                gold=str(tmp_path / "absent.parquet"),
            )
        assert server.log == []
