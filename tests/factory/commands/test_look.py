"""`look`, and that every command that reads pairs says how."""

import json

import polars as pl
import pytest
from click.testing import CliRunner

import factory
from factory.cli import main

ROWS = [
    {"ask": "Name a metal.", "good": "Tin.", "bad": "Wood.", "tag": "x"},
    {"ask": "Name a bird.", "good": "Owl.", "bad": "Owl.", "tag": "y"},
]
NAMED = "prompt=ask,chosen=good,rejected=bad"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "given.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_look_shows_the_reading_and_the_first_pairs(file):
    done = CliRunner().invoke(main, ["look", str(file), "--columns", NAMED])
    assert done.exit_code == 0, done.output
    for said in ("1 pairs", "read as plain", "prompt ← ask", "kept aside: tag", "identical 1", "Name a metal.", "Tin."):
        assert said in done.output
    found = json.loads(CliRunner().invoke(main, ["look", str(file), "--columns", NAMED, "--json"]).stdout)
    assert found == factory.look(file, columns=NAMED).to_dict()
    assert (found["pairs"], len(found["first"])) == (1, 1)
    assert found["reading"]["set_aside"] == {"identical": 1}


def test_what_cannot_be_read_is_one_sentence(file):
    done = CliRunner().invoke(main, ["look", str(file)])
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--columns prompt=" in done.stderr


def test_filter_says_how_it_read_and_writes_it(file, tmp_path):
    settings = tmp_path / "f.yaml"
    settings.write_text("filters: [{use: duplicate}]\ncolumns: {prompt: ask, chosen: good}\n")
    args = ["filter", str(file), "--out", str(tmp_path / "o"), "--config", str(settings), "--columns", "rejected=bad"]
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output
    assert "read as plain: prompt ← ask" in done.stderr
    assert "1 rows are no pairs and are set aside: identical 1" in done.stderr
    reading = json.loads((tmp_path / "o/funnel.json").read_text())["reading"]
    assert reading["parts"][0]["layout"] == "plain"
    assert reading["set_aside"] == {"identical": 1}
    assert pl.read_parquet(tmp_path / "o/kept.parquet")["chosen"].to_list() == ["Tin."]


def test_audit_says_how_it_read_and_writes_it(file, tmp_path):
    judge = {"name": "j", "engine": {"kind": "scripted"}}
    factory.audit(file, out=tmp_path / "a", judge=judge, columns=NAMED)
    reading = json.loads((tmp_path / "a/audit.json").read_text())["reading"]
    assert (reading["parts"][0]["columns"]["chosen"], reading["set_aside"]) == (["good"], {"identical": 1})


def test_export_takes_the_columns(file, tmp_path):
    factory.export(file, "pairs", tmp_path / "e", columns=NAMED, test_share=0)
    assert pl.read_parquet(tmp_path / "e/data/*.parquet")["chosen"].to_list() == ["Tin."]
