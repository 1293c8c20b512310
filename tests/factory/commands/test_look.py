"""`look`, and that every command that reads pairs says how."""

import json

import polars as pl
import pytest
from click.testing import CliRunner

import factory
from factory.cli import main
from tests.heard import Heard

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
    for said in (
        "1 pairs",
        "read as plain",
        "prompt ← ask",
        "carried along: tag",
        "identical 1",
        "Name a metal.",
        "Tin.",
    ):
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


def test_columns_that_are_named_for_look_serve_export_too(file, tmp_path):
    factory.export(file, "pairs", tmp_path / "e", columns=NAMED, test_share=0)
    assert pl.read_parquet(tmp_path / "e/data/*.parquet")["chosen"].to_list() == ["Tin."]


PROMPTS = [{"Instruction": "Name a metal.", "context": "Ores.", "id": 1}, {"Instruction": "", "context": "", "id": 2}]
SAID = (
    "read as prompts: prompt ← instruction + context",
    "carried along: id",
    "1 rows are no prompts",
    "the first prompt: ",
)


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
    return path


def test_look_shows_how_prompts_are_read(prompts):
    done = CliRunner().invoke(main, ["look", str(prompts)])
    assert done.exit_code == 0, done.output
    for said in ("1 prompts", *SAID[:3], "Name a metal. Ores."):
        assert said in done.output
    found = factory.look(prompts, prompts=True).to_dict()
    assert (found["prompts"], list(found["first"][0])) == (1, ["prompt_id", "prompt"])


@pytest.mark.parametrize("reply", ["output", "response", "answer", "completion"])
def test_look_shows_prompts_whose_one_reply_can_make_no_pair(reply, tmp_path):
    """As in instruction data."""
    path = tmp_path / "instructions.jsonl"
    path.write_text(json.dumps({"instruction": "Name a metal.", reply: "Tin."}))
    done = CliRunner().invoke(main, ["look", str(path)])
    assert done.exit_code == 0, done.output
    for said in ("1 prompts", "prompt ← instruction", f"carried along: {reply}"):
        assert said in done.output


def test_pairs_that_cannot_be_read_are_not_shown_as_prompts(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "Hi", "response_1": "a", "response_2": "b"}) + "\n")
    done = CliRunner().invoke(main, ["look", str(path)])
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "1 prompts" in CliRunner().invoke(main, ["look", str(path), "--prompts"]).output


def test_a_run_says_how_its_prompts_are_read_and_keeps_it(prompts, tmp_path):
    config = tmp_path / "c.yaml"
    settings = {"run": {"dir": "r", "iterations": 1}, "prompts": {"paths": [str(prompts)]}, "engine": "scripted"}
    config.write_text(json.dumps(settings))
    args = ["run", str(config), "--run-dir", str(tmp_path / "r"), "--until", "prompts"]
    dry = CliRunner().invoke(main, [*args, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output
    for said in SAID:
        assert said in dry.stdout
        assert said in done.stderr
    for _ in range(2):  # the stage is reused, and what was said of it stays
        reading = json.loads((tmp_path / "r/run.json").read_text())["reading"]
        assert reading["parts"][0]["columns"] == {"prompt": ["instruction", "context"]}
        assert reading["set_aside"] == {"empty_prompt": 1}
        assert CliRunner().invoke(main, args).exit_code == 0


def test_what_is_mixed_in_is_read_aloud(file, tmp_path):
    (tmp_path / "own.jsonl").write_text(json.dumps({"prompt": "Hi", "chosen": "a", "rejected": "b"}) + "\n")
    heard = Heard()
    columns = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    config = {"mix": [{"path": str(file), "columns": columns}]}
    factory.export(tmp_path / "own.jsonl", "pairs", tmp_path / "o", config=config, progress=heard)
    assert [line for line in heard.lines if "prompt ← ask" in line]


def test_a_long_error_keeps_its_beginning_and_its_end_and_is_whole_with_v(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({f"a_column_without_a_meaning_{place}": 1 for place in range(20)}))
    short = CliRunner().invoke(main, ["look", str(path)]).stderr.strip()
    whole = CliRunner().invoke(main, ["look", str(path), "-v"]).stderr.strip()
    assert len(short) <= 300 < len(whole)
    assert short.startswith(f"sso-factory: {path}: no pairs can be read")
    for sentence in (short, whole):
        assert sentence.endswith("name the columns, as in --columns prompt=…,chosen=…,rejected=…")
    assert "a_column_without_a_meaning_9" in whole


def test_a_filter_that_drops_more_than_half_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    rows = [{"prompt": "Hi", "chosen": "a", "rejected": "b"}] * 3
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = tmp_path / "f.yaml"
    settings.write_text("filters: [{use: duplicate}]\n")
    done = CliRunner().invoke(main, ["filter", str(path), "--out", str(tmp_path / "o"), "--config", str(settings)])
    assert "duplicate drops 2 of 3 pairs that reach it" in done.stdout
    assert "`sso-factory explain duplicate`" in done.stdout
