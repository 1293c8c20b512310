"""`--json`: every command that prints a result prints it as JSON too, under the names that its record has."""

import json
from pathlib import Path

import click
import polars as pl
import pytest
from click.testing import CliRunner
from jsonschema import ValidationError, validate

from factory.cli import main
from factory.terminal.schemas import write
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
    filled = [word.format(run=run, out=tmp_path, pair=pair) for word in arguments]
    found = printed(*filled)
    validate(found, json.loads((SCHEMAS / f"{arguments[0]}.json").read_text()))
    if isinstance(keys, set):
        assert keys <= set(found)  # type: ignore[call-overload]
    else:
        assert isinstance(found, keys)
        assert found
