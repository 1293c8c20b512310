"""Bad input through the command line: one sentence that names it, with its exit code, or every row accounted for."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml
from click.testing import CliRunner, Result

from factory.cli import main
from tests.bad_data import ELSEWHERE, PAIRS, PROMPTS, Case, Refused, Taken
from tests.bad_settings import CONFIGS, FILTERS, JUDGES, OPTIONS, PRINCIPLES, VOTES, lay

LEFT = {".lock", ".fingerprint", ".sso-factory.json", "config.yaml", "run.json"}
"""What a command that was refused at the door may leave in its folder: its lock, and what it was asked to do."""


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def hold_refused(done: Result, wanted: Refused, out: Path | None = None) -> None:
    assert isinstance(done.exception, SystemExit), done.exception
    said = [text for text in done.output.splitlines() if text.startswith("sso-factory: ")]
    assert len(said) == 1, done.output
    assert done.output.splitlines()[-1] == said[0], "nothing comes after the sentence"
    assert all(word in said[0] for word in wanted.words), said[0]
    assert done.exit_code == wanted.code
    if out is not None:
        found = {path.name for path in out.rglob("*") if path.is_file() and path.stat().st_size}
        assert found <= LEFT, "nothing half-written"


def put(folder: Path, case: Case) -> Path:
    path = folder / case[0]
    if callable(case[1]):
        case[1](path)
    else:
        path.write_bytes(case[1])
    return path


def reasons(path: Path) -> dict[str, int]:
    return dict(pl.read_parquet(path)["reason"].value_counts().iter_rows()) if path.is_file() else {}


@pytest.mark.parametrize("name", PROMPTS)
def test_bad_prompts_are_refused_or_set_aside(name: str, tmp_path: Path) -> None:
    source, wanted = put(tmp_path, PROMPTS[name]), PROMPTS[name][2]
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"prompts": {"paths": [str(source)]}, "engine": "scripted"}))
    done = call("run", config, "--run-dir", tmp_path / "run", "--until", "prompts")
    if isinstance(wanted, Refused):
        hold_refused(done, wanted, tmp_path / "run")
        return
    assert done.exit_code == 0, done.output
    assert pl.read_parquet(tmp_path / "run/prompts.parquet").height == wanted.kept
    assert reasons(tmp_path / "run/prompts.rejected.parquet") == wanted.rejected


def hold_funnel(out: Path, wanted: Taken) -> None:
    funnel = json.loads((out / "funnel.json").read_text())
    assert funnel["kept"] == wanted.kept == pl.read_parquet(out / "kept.parquet").height
    assert reasons(out / "rejected.parquet") == wanted.rejected
    assert funnel["input"] == wanted.kept + sum(wanted.rejected.values()), "nothing is lost"


def hold(done: Result, wanted: Refused | Taken, out: Path) -> None:
    if isinstance(wanted, Refused):
        hold_refused(done, wanted, out)
        return
    assert done.exit_code == 0, done.output
    hold_funnel(out, wanted)


@pytest.mark.parametrize("name", PAIRS)
def test_bad_pairs_are_refused_or_set_aside(name: str, tmp_path: Path) -> None:
    source, wanted = put(tmp_path, PAIRS[name]), PAIRS[name][2]
    config = tmp_path / "f.yaml"
    config.write_text("filters: [{use: duplicate}, {use: length_gap}]")
    done = call("filter", source, "--out", tmp_path / "out", "--config", config)
    hold(done, wanted, tmp_path / "out")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_place_without_pairs_is_refused(name: str, tmp_path: Path) -> None:
    place, wanted = ELSEWHERE[name]
    hold_refused(call("filter", place, "--out", tmp_path / "out"), wanted, tmp_path / "out")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_configuration_is_refused_before_a_prompt_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told before a prompt is read: what is wrong with the end of a run must not wait until its end."""
    content, wanted = CONFIGS[name]
    lay(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "c.yaml"
    config.write_bytes(content)
    hold_refused(call("run", config), wanted, tmp_path / "runs")
    assert not (tmp_path / "prompts.parquet").exists()


@pytest.mark.parametrize("name", FILTERS)
def test_a_bad_filter_file_is_refused(name: str, tmp_path: Path) -> None:
    content, wanted = FILTERS[name]
    lay(tmp_path)
    (tmp_path / "f.yaml").write_bytes(content)
    done = call("filter", tmp_path / "pairs.jsonl", "--out", tmp_path / "out", "--config", tmp_path / "f.yaml")
    hold_refused(done, wanted, tmp_path / "out")


@pytest.mark.parametrize("name", PRINCIPLES)
def test_a_bad_principle_set_is_refused(name: str, tmp_path: Path) -> None:
    content, wanted = PRINCIPLES[name]
    lay(tmp_path)
    (tmp_path / "set.yaml").write_bytes(content)
    config = {"prompts": str(tmp_path / "prompts.jsonl"), "engine": "scripted"}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**config, "principles": {"set": str(tmp_path / "set.yaml")}}))
    hold_refused(call("run", tmp_path / "c.yaml", "--run-dir", tmp_path / "run"), wanted, tmp_path / "run")


@pytest.mark.parametrize("name", JUDGES)
def test_an_answer_of_a_judge_is_read_or_invalid_and_never_a_guess(name: str, tmp_path: Path) -> None:
    """Three pairs under a judge that answers every question so: kept, or invalid; never a guess."""
    answer, wanted = JUDGES[name]
    lay(tmp_path)
    (tmp_path / "s.jsonl").write_text(f"{json.dumps(answer)}\n" * 60)
    judge = {"name": "J", "engine": {"kind": "scripted", "script": str(tmp_path / "s.jsonl")}}
    (tmp_path / "f.yaml").write_text(yaml.safe_dump({"filters": [{"use": "judge_agrees"}], "judges": [judge]}))
    done = call("filter", tmp_path / "pairs.jsonl", "--out", tmp_path / "out", "--config", tmp_path / "f.yaml")
    hold(done, wanted, tmp_path / "out")


@pytest.mark.parametrize("name", VOTES)
def test_recorded_votes_that_are_none_are_refused(name: str, tmp_path: Path) -> None:
    content, wanted = VOTES[name]
    lay(tmp_path)
    (tmp_path / "votes.parquet").write_bytes(content)
    (tmp_path / "f.yaml").write_text("filters: [{use: judge_agrees}]")
    given = ("--config", tmp_path / "f.yaml", "--judgments", tmp_path / "votes.parquet")
    hold_refused(call("filter", tmp_path / "pairs.jsonl", "--out", tmp_path / "out", *given), wanted, tmp_path / "out")


@pytest.mark.parametrize("name", OPTIONS)
def test_a_bad_option_is_refused_and_leaves_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args, wanted = OPTIONS[name]
    lay(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    before = set(tmp_path.iterdir())
    hold_refused(call(*args), wanted, tmp_path / "out")
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "out"}, "nothing elsewhere"
