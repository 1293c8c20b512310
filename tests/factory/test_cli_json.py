"""`--json`: every command that prints a result prints it as JSON too, under the names that its record has."""

import json
from pathlib import Path

import click
import polars as pl
import pytest
from click.testing import CliRunner
from jsonschema import ValidationError, validate

from factory import terminal
from factory.cli import main
from factory.reward.ensemble import apart
from factory.reward.items import BENCHMARKS
from factory.reward.official import ScoredItem, ScoredItems
from factory.reward.score import measured
from factory.reward.scorer import Reward
from factory.terminal.schemas import write
from tests.pairs import user
from tests.runs import run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("json") / "run", prompts=12)


def commands(group: click.Group, before: str = "") -> list[tuple[str, click.Command]]:
    found = []
    for name, one in group.commands.items():
        found += commands(one, f"{name} ") if isinstance(one, click.Group) else [(before + name, one)]
    return found


@pytest.mark.parametrize(("name", "command"), commands(main), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_takes_json(name: str, command: click.Command) -> None:
    assert "as_json" in {option.name for option in command.params}, name


SCHEMAS = Path(__file__).parents[2] / "docs/schemas"


def test_every_command_has_its_schema_and_they_are_up_to_date(tmp_path: Path) -> None:
    write(tmp_path)
    made, kept = ({path.name: path.read_text() for path in folder.iterdir()} for folder in (tmp_path, SCHEMAS))
    assert made == kept, "write them anew: python -m factory.terminal.schemas docs/schemas"
    assert {f"{name.replace(' ', '-')}.json" for name, _ in commands(main)} == set(kept)


def test_a_schema_bites() -> None:
    schema = json.loads((SCHEMAS / "trace.json").read_text())
    with pytest.raises(ValidationError):
        validate({"pair_id": 1}, schema)


def printed(*arguments: str | Path) -> object:
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


KEYS = {
    "init": (["init", "{out}"], list),
    "status": (["status", "{run}"], {"stages", "bill"}),
    "report": (["report", "{run}", "--out", "{out}/r.html"], str),
    "report --against": (
        ["report", "{run}", "--against", "{run}", "--out", "{out}/r.html"],
        {"report", "comparable", "notes", "first", "second", "funnel", "agreement", "pairs", "settings"},
    ),
    "export": (["export", "{run}", "--format", "rm", "--out", "{out}"], list),
    "check-data": (["check-data", "{run}/filtered/kept.parquet", "--format", "pairs"], list),
    "answers": (
        ["answers", "{run}", "--policy", "m", "--format", "mt_bench", "--engine", "scripted", "--out", "{out}/a"],
        list,
    ),
    "filter": (["filter", "{run}", "--out", "{out}"], {"input", "steps", "kept", "confounds"}),
    "filter by votes": (
        ["filter", "{run}", "--out", "{out}", "--config", "{votes}", "--judgments", "{run}/filtered/judgments.parquet"],
        {"input", "steps", "kept", "confounds", "judges", "judge_agrees", "quality", "reading"},
    ),
    "look": (["look", "{run}"], {"reading", "pairs", "first"}),
    "look at prompts": (["look", "examples/prompts.jsonl"], {"reading", "prompts", "first"}),
    "trace": (["trace", "{run}", "{pair}"], {"pair_id", "outcome", "prompt", "replies", "votes", "measures"}),
    "explain": (["explain", "gamma"], list),
    "dry run": (
        ["run", "examples/quickstart.yaml", "--dry-run", "--set", "engine.kind=scripted"],
        {"prompts", "stages", "total"},
    ),
    "run": (
        [
            *[
                "run",
                "examples/quickstart.yaml",
                "--set",
                "engine.kind=scripted",
                "--until",
                "features",
                "--run-dir",
                "{out}/run",
            ]
        ],
        {"run", "kept", "rejected", "exports", "report", "funnel", "bill"},
    ),
}


@pytest.mark.parametrize("name", KEYS)
def test_what_is_printed_is_the_record(name: str, run: Path, tmp_path: Path) -> None:
    arguments, keys = KEYS[name]
    pair = pl.read_parquet(run / "filtered/kept.parquet")["pair_id"][0]
    votes = tmp_path / "votes.yaml"
    votes.write_text("filters: [{use: length_gap}, {use: judge_agrees}]\n")
    filled = [word.format(run=run, out=tmp_path / "out", pair=pair, votes=votes) for word in arguments]
    found = printed(*filled)
    validate(found, json.loads((SCHEMAS / f"{arguments[0]}.json").read_text()))
    if isinstance(keys, set):
        assert keys <= set(found)  # type: ignore[call-overload]
    else:
        assert isinstance(found, keys)
        assert found


def item(group: str, right: int, wrong: int, number: int = 0) -> ScoredItem:
    replies = tuple(f"reply {n}" for n in range(right + wrong))
    quality = tuple(1.0 / (1 + n) for n in range(right + wrong))
    return ScoredItem(f"{group}:{number}", group, [user("Why?")], replies, right, quality)


SCORED = {
    "rewardbench": [item("alpacaeval-easy", 1, 1), item("hep-python", 1, 1)],
    "rewardbench2": [item("Factuality", 1, 3), item("Math", 1, 3)],
    "rmbench": [item("chat", 3, 3), item("code", 3, 3)],
    "judgebench": [item("mmlu-pro-math", 1, 1)],
    "best_of_n": [item("all", 1, 3), item("hard", 1, 3)],
    "pairs": [item("all", 1, 1), item("easy", 1, 1)],
}
"""Items of each benchmark that `reward score` knows."""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_result_of_every_benchmark_fits_the_schema_of_reward_score(name: str) -> None:
    """With every score, and with none; of one model, and of several as one."""
    schema = json.loads((SCHEMAS / "reward-score.json").read_text())
    items = ScoredItems(SCORED[name], 0, name)
    replies = [reply for one in items.items for reply in one.replies]
    scores = [Reward(float(n % 5), 3, False, None) for n in range(len(replies))]
    for rewards in (scores, [Reward(None, 0, True, "too long") for _ in replies]):
        result = {"model": "m", **measured(items, rewards, seed=1).result}
        several = {**result, "model": ["m", "n"], "models": [{"score": None}], "over_models": apart([result, result])}
        for found in (result, several):
            validate(json.loads(terminal.show.as_json(found)), schema)
    with pytest.raises(ValidationError):
        validate({**result, "score": "0.5"}, schema)


@pytest.mark.parametrize("command", ["look", "filter", "reward score"])
def test_a_schema_lets_nothing_through_that_it_does_not_know(command: str, run: Path) -> None:
    schema = json.loads((SCHEMAS / f"{command.replace(' ', '-')}.json").read_text())
    for found in ({}, {"anything": "else"}, {"reading": {}, "pairs": "7", "first": []}, {"input": 1, "kept": 1}):
        with pytest.raises(ValidationError):
            validate(found, schema)
