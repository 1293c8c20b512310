"""The command line as a person meets it: what is printed, exit codes, one sentence for what goes wrong."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from click.testing import CliRunner, Result

from factory.cli import main
from factory.schema import JUDGMENTS, ORDERS, conform

ROOT = Path(__file__).parents[2]


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def quickstart(run_dir: Path, *args: str) -> Result:
    return call(
        "run", ROOT / "examples" / "quickstart.yaml", "--run-dir", run_dir, "--set", "engine.kind=scripted", *args
    )


class Done(NamedTuple):
    result: Result
    run_dir: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The quickstart to its end."""
    run_dir = tmp_path_factory.mktemp("made") / "run"
    return Done(quickstart(run_dir), run_dir)


@pytest.fixture
def whole(made: Done, run_dir: Path) -> Path:
    """A copy of it, for a test that goes on with it."""
    return Path(shutil.copytree(made.run_dir, run_dir))


def test_the_line_ends_with_funnel_samples_and_places(made: Done) -> None:
    done, run_dir = made
    assert done.exit_code == 0, done.output
    for word in ("judge_agrees", "length_balance", "chosen  ", "rejected  ", "kept.parquet", "exports/rm"):
        assert word in done.output
    funnel = json.loads((run_dir / "filtered" / "funnel.json").read_text())
    assert funnel["input"] == 15
    assert funnel["kept"] + sum(step["rejected"] for step in funnel["steps"]) == funnel["input"]
    assert pl.read_parquet(run_dir / "filtered" / "kept.parquet").height == funnel["kept"]


def test_a_second_run_reuses_every_stage(whole: Path) -> None:
    again = quickstart(whole)
    assert again.exit_code == 0, again.output
    assert again.output.count("done before, reused") == len(list(whole.rglob("*.manifest.json")))


def test_a_changed_key_is_named_and_what_it_does_not_touch_is_reused(whole: Path) -> None:
    changed = quickstart(whole, "--set", "filters.2.max_chars=50")
    assert "filtered/filter: made again, because filters changed" in changed.output
    assert "iterations/3/train: done before, reused" in changed.output


def test_until_stops_after_a_stage(run_dir: Path) -> None:
    done = quickstart(run_dir, "--until", "1/triples")
    assert done.exit_code == 0, done.output
    assert (run_dir / "iterations/1/triples.parquet").is_file()
    assert not (run_dir / "iterations/1/scores.parquet").exists()


def test_status_lists_the_stages(run_dir: Path) -> None:
    quickstart(run_dir, "--until", "1/scores")
    shown = call("status", run_dir)
    assert shown.exit_code == 0, shown.output
    lines = [line.split()[0] for line in shown.output.splitlines() if "done" in line]
    assert lines == ["prompts", *(f"iterations/1/{name}" for name in ("features", "contrast", "triples", "scores"))]


def test_a_dry_run_counts_and_leaves_nothing(run_dir: Path) -> None:
    done = quickstart(run_dir, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "15 prompts; nothing was sent" in done.output
    replies = [int(line.split()[2]) for line in done.output.splitlines() if line.startswith(" replies ")]
    assert (len(replies), sum(replies)) == (3, 45)
    assert not run_dir.exists()


def test_init_writes_a_configuration_that_runs(tmp_path: Path) -> None:
    made = call("init", tmp_path / "new")
    assert made.exit_code == 0, made.output
    done = call("run", tmp_path / "new" / "sso.yaml", "--run-dir", tmp_path / "run", "--set", "engine.kind=scripted")
    assert done.exit_code == 0, done.output
    assert call("init", tmp_path / "new").exit_code == 2


@pytest.mark.parametrize("preset", ["paper", "api"])
def test_every_preset_is_a_valid_configuration(tmp_path: Path, preset: str) -> None:
    assert call("init", tmp_path, "--preset", preset).exit_code == 0
    planned = call("run", tmp_path / "sso.yaml", "--dry-run")
    assert planned.exit_code == 0, planned.output


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


CONFIG = "prompts: {paths: [PROMPTS]}\nengine: scripted\n"


def test_a_missing_model_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    source = write(tmp_path / "prompts.jsonl", '{"prompt": "hi"}\n')
    path = write(tmp_path / "c.yaml", f"prompts: {{paths: [{source}]}}\npolicy: {{model: ./no-such-folder}}\n")
    done = call("run", path, "--run-dir", tmp_path / "run")
    assert done.exit_code in (1, 2)
    assert "no-such-folder" in done.output
    assert (tmp_path / "run" / "config.yaml").is_file()


def test_filter_writes_kept_rejected_and_funnel(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "chosen": "yes, it is..", "rejected": "no"},
        {"prompt": "a", "chosen": "yes, it is..", "rejected": "no"},
        {"prompt": "b", "chosen": "no", "rejected": "maybe, it is"},
        {"prompt": "c", "chosen": "", "rejected": "no"},
    ]
    source = write(tmp_path / "pairs.jsonl", "\n".join(map(json.dumps, rows)))
    done = call("filter", source, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "no judge" in done.output
    funnel = json.loads((tmp_path / "out" / "funnel.json").read_text())
    assert [line.split()[-1] for line in done.stdout.splitlines()[-2:]] == [
        str(tmp_path / "out" / f"{name}.parquet") for name in ("kept", "rejected")
    ]
    assert funnel["input"] == 4
    assert funnel["kept"] == 2
    rejected = pl.read_parquet(tmp_path / "out" / "rejected.parquet")
    assert sorted(rejected["filter"]) == ["duplicate", "read"]


def test_filter_dry_run_writes_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "pairs.jsonl", json.dumps({"prompt": "a", "chosen": "yes", "rejected": "no"}))
    done = call("filter", source, "--out", tmp_path / "out", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "length_balance" in done.output
    assert not (tmp_path / "out").exists()


def test_filter_dry_run_asks_nobody_and_counts_votes_that_are_there(tmp_path: Path) -> None:
    pair = {"pair_id": "1", "prompt": "a", "chosen": "yes", "rejected": "no"}
    source = write(tmp_path / "pairs.jsonl", json.dumps(pair))
    judges = "judges: [{name: j, base_url: 'http://127.0.0.1:9/v1'}]"
    config = write(tmp_path / "f.yaml", f"filters: [{{use: judge_agrees}}, {{use: length_gap}}]\n{judges}")
    rows = [{"pair_id": "1", "judge": "j", "order": order, "vote": "rejected"} for order in ORDERS]
    conform(pl.DataFrame(rows), JUDGMENTS).write_parquet(tmp_path / "votes.parquet")
    given = ("filter", source, "--out", tmp_path / "out", "--config", config, "--dry-run")
    blind, told = call(*given), call(*given, "--judgments", tmp_path / "votes.parquet")
    assert "judge_agrees is left out" in blind.output
    assert "prefers_rejected 1" not in blind.output
    assert "prefers_rejected 1" in told.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("filters: [{use: judge_agrees}]", "judge_agrees needs votes"),
        (
            "filters: [{use: judge_agrees, judges: [other]}]\njudges: [gpt-4o]",
            "judge_agrees counts the judge 'other', and judges: names gpt-4o alone",
        ),
    ],
)
def test_a_filter_whose_votes_nobody_gives_is_told_before_anybody_is_asked(
    config: str, said: str, tmp_path: Path
) -> None:
    source = write(tmp_path / "pairs.jsonl", json.dumps({"prompt": "a", "chosen": "yes", "rejected": "no"}))
    done = call("filter", source, "--out", tmp_path / "out", "--config", write(tmp_path / "f.yaml", config))
    assert done.exit_code == 2
    assert said in done.output


def test_export_of_a_run_is_listed(made: Done, tmp_path: Path) -> None:
    done = call("export", made.run_dir, "--format", "dpo", "--out", tmp_path / "dpo")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "dpo" / "README.md").is_file()


@pytest.mark.parametrize(
    ("twice", "command"),
    [
        ("--format", ("export", "no-such-file", "--format", "rm", "--out", "x", "--format", "dpo")),
        ("--judge", ("audit", "no-such-file", "--judge", "a", "--out", "x", "--judge", "b")),
        ("--seed", ("reward", "train", "no-such-file", "--model", "m", "--out", "x", "--seed", "1", "--seed=2")),
    ],
)
def test_an_option_of_one_value_is_not_given_twice(twice: str, command: tuple[str, ...]) -> None:
    done = call(*command)
    assert done.exit_code == 2
    assert f"{twice} takes one value and is given twice" in done.output
    assert call("explain", "gamma", "--json", "--json").exit_code == 0


def test_an_audit_says_where_its_page_lies(tmp_path: Path) -> None:
    source = write(tmp_path / "pairs.jsonl", json.dumps({"prompt": "a", "chosen": "yes", "rejected": "no"}))
    done = call("audit", source, "--judge", "j", "--engine", "scripted", "--out", tmp_path / "out")
    assert done.stdout.splitlines()[-1].split() == ["report", str(tmp_path / "out" / "audit.html")]
    assert "audit.html" not in call("audit", source, "--judge", "j", "--out", tmp_path / "dry", "--dry-run").output


def test_a_portion_without_prompts_leaves_the_policy_as_it_is(tmp_path: Path) -> None:
    source = write(tmp_path / "prompts.jsonl", '{"prompt": "hi"}\n')
    path = write(tmp_path / "c.yaml", CONFIG.replace("PROMPTS", str(source)) + "filters: [{use: duplicate}]\n")
    done = call("run", path, "--run-dir", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert done.output.count("no pairs to train on") == 2


@pytest.mark.parametrize(
    ("engine", "package", "extra"),
    [
        ("vllm", "vllm", "vllm"),
        ("ray", "ray", "ray"),
        ("transformers", "torch", "train"),
        ("{kind: ray, engine: {kind: vllm}}", "vllm", "vllm"),
    ],
)
def test_an_engine_whose_package_is_missing_names_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, package: str, extra: str
) -> None:
    monkeypatch.setattr("factory.engines.find_spec", lambda name: None if name == package else True)
    source = write(tmp_path / "prompts.jsonl", '{"prompt": "hi"}\n')
    path = write(tmp_path / "c.yaml", f"prompts: {{paths: [{source}]}}\nengine: {engine}\n")
    done = call("run", path, "--run-dir", tmp_path / "run")
    assert done.exit_code == 2
    assert f"this needs the package {package}: pip install -e '{ROOT}[{extra}]'" in done.output


@pytest.mark.parametrize(
    ("named", "left"),
    [("filter", "exports"), ("1", "iterations/2"), ("2/train", "iterations/3"), ("filtered", "exports")],
)
def test_until_names_a_stage_or_the_last_of_a_folder(run_dir: Path, named: str, left: str) -> None:
    assert quickstart(run_dir, "--until", named).exit_code == 0
    assert not (run_dir / left).exists()
    assert (run_dir / "iterations/1/train.manifest.json").is_file()


@pytest.mark.parametrize("named", ["nope", "4/triples", "x/triples", "0/scores", "audit", "llamafactory"])
def test_a_stage_that_the_run_does_not_have_is_told_before_it_begins(run_dir: Path, named: str) -> None:
    refused = quickstart(run_dir, "--until", named)
    assert refused.exit_code == 2
    assert f"this run has no stage '{named}'; its stages are prompts, features," in refused.output
    assert not run_dir.exists()
