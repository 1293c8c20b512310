"""`export` from a user's side: whatever pairs are given as, wherever they go."""

import json
import re
import subprocess
import sys
from pathlib import Path

import datasets
import polars as pl
import pytest
from click.testing import CliRunner

import factory
from factory.cli import main
from factory.commands.export import export
from factory.config import Export
from factory.errors import ConfigError
from factory.exports.card.licenses import require_license
from tests.heard import Heard
from tests.pairs import pairs
from tests.runs import run_folder


@pytest.fixture(autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


def rows(folder: Path, tmp_path: Path) -> int:
    found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    return sum(len(part) for part in found.values())


def test_a_run_folder_is_exported_with_its_numbers(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "demo", prompts=30)
    files = export(run, "rm", tmp_path / "out")
    assert {path.relative_to(tmp_path / "out").as_posix() for path in files} >= {"README.md", "plots/funnel.png"}
    kept = pl.read_parquet(run / "filtered/kept.parquet").height
    assert rows(tmp_path / "out", tmp_path) == kept
    assert "How far a judge agrees" in (tmp_path / "out/README.md").read_text()


def test_a_run_is_split_by_its_own_seed(tmp_path: Path) -> None:
    """So that no prompt is in the train split of one export of a run and in the test split of another."""
    run = run_folder(tmp_path / "demo", prompts=30)
    head = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(head | {"seed": 7}))

    def held_out(place: str, **options: int) -> list[str]:
        export(run, "pairs", tmp_path / place, test_share=0.3, **options)
        return sorted(pl.read_parquet(tmp_path / place / "data/test-*.parquet")["prompt_id"].unique())

    assert held_out("own") == held_out("told", seed=7) != held_out("other", seed=8)


@pytest.mark.parametrize("kind", ["polars", "lazy", "datasets", "file"])
def test_pairs_may_be_given_as_anything_that_can_be_read(kind: str, tmp_path: Path) -> None:
    frame = pairs(6)
    frame.write_parquet(tmp_path / "in.parquet")
    given = {
        "polars": frame,
        "lazy": frame.lazy(),
        "datasets": datasets.Dataset.from_polars(frame.select("prompt", "chosen", "rejected")),
        "file": str(tmp_path / "in.parquet"),
    }[kind]
    export(given, "rm", tmp_path / "out")
    assert rows(tmp_path / "out", tmp_path) == 12


def test_it_is_the_function_of_the_package() -> None:
    assert factory.export is export


def test_rows_that_are_no_pairs_are_said(tmp_path: Path) -> None:
    same = {"prompt": "q", "chosen": "a", "rejected": "a"}
    pl.DataFrame([same, {**same, "rejected": "b"}]).write_parquet(tmp_path / "in.parquet")
    said = Heard()
    export(tmp_path / "in.parquet", "rm", tmp_path / "out", progress=said)
    assert "1 rows are no pairs and are set aside: identical 1" in said.lines, said.lines


def test_arguments_win_over_the_config(tmp_path: Path) -> None:
    config = Export(license="mit", test_share=0, mix=["nowhere.jsonl"])
    pairs(3).write_parquet(tmp_path / "more.parquet")
    said = Heard()
    export(pairs(6).head(6), "rm", tmp_path / "out", config=config, mix=[str(tmp_path / "more.parquet")], progress=said)
    text = (tmp_path / "out/README.md").read_text()
    assert "license: mit" in text
    assert "6 pairs of 0" not in "".join(said.lines)
    assert "0 pairs were mixed in from more.parquet" in text


def test_without_a_place_nothing_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--out DIR or --push-to-hub"):
        export("no-such-file", "rm")


def test_a_url_gets_the_files_and_the_card(tmp_path: Path) -> None:
    sent = export(pairs(6), "rm", "memory://exports/one")
    assert sent[-1] == "memory://exports/one/README.md"
    assert "memory://exports/one/plots/lengths.png" in sent


def test_the_options_of_the_command_reach_the_card_and_the_splits(tmp_path: Path) -> None:
    pairs(40).write_parquet(tmp_path / "in.parquet")
    bench = tmp_path / "bench.txt"
    bench.write_text("question 7\n")
    options = ["--license", "mit", "--test-share", "0.5", "--decontaminate", str(bench)]
    asked = ["export", str(tmp_path / "in.parquet"), "--format", "rm", "--out", str(tmp_path / "out"), *options]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "license: mit" in (tmp_path / "out/README.md").read_text()
    found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert len(found["test"]) > 20
    assert len(found["train"]) + len(found["test"]) == 78


def test_a_share_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    pairs(4).write_parquet(tmp_path / "in.parquet")
    asked = ["export", str(tmp_path / "in.parquet"), "--format", "rm", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*asked, "--test-share", "1.5"])
    assert done.exit_code == 2
    assert "test_share" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(("given", "meant"), [("mitt", "mit"), ("apache-2", "apache-2.0"), ("CC-BY-4", "cc-by-4.0")])
def test_a_licence_that_is_nearly_one_of_the_hubs_is_refused_before_anything_is_read(given: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"license '{given}' is none that the Hub knows: is {re.escape(meant)} meant"):
        export("no-such-file", "rm", "nowhere", license=given)


@pytest.mark.parametrize("given", ["mit", "Apache-2.0", "house rules", "other"])
def test_other_licences_are_taken(given: str) -> None:
    require_license(given)


def test_without_a_token_a_push_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="set HF_TOKEN"):
        export("no-such-file", "rm", push_to_hub="someone/pairs")


@pytest.mark.parametrize("command", ["train", "reward train", "reward score"])
def test_a_command_without_its_extra_is_one_sentence(command: str, tmp_path: Path) -> None:
    pairs(6).write_parquet(tmp_path / "in.parquet")
    model = "--policy" if command == "train" else "--model"
    code = "import sys; sys.modules['torch'] = None; from factory.cli import main; main(sys.argv[1:])"
    arguments = [*command.split(), str(tmp_path / "in.parquet"), model, "no/model", "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "this needs the package torch: pip install" in done.stderr
