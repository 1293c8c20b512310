"""`reproduce`: the pairs of a card come again, or one sentence says what it lacks; a card reaches no server."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml
from click.testing import CliRunner

import factory
from factory.cli import main
from factory.config.load import load_config
from factory.errors import ConfigError, InputError
from factory.exports import EXPORTERS
from factory.exports.card.recorded import pair_ids, recorded
from factory.exports.destinations.write import export
from factory.exports.facts.recipe import recipe
from factory.identity import model_fingerprint
from tests.pairs import pairs
from tests.runs import run_folder

ROOT = Path(__file__).parents[3]
QUICK, PROMPTS = ROOT / "examples/quickstart.yaml", ROOT / "examples/prompts.jsonl"
HERE = f"prompts.paths={PROMPTS}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reproduce") / "run"
    return factory.run(load_config(QUICK, ["engine.kind=scripted", "prompts.limit=null"]), root).root


@pytest.fixture
def alone(run: Path, tmp_path: Path) -> Path:
    """An export as it is fetched from elsewhere, without its run."""
    return Path(shutil.copytree(run / "exports/rm", tmp_path / "fetched"))


def test_the_quickstart_gives_exactly_the_same_pairs_in_its_run_folder_and_by_its_card_alone(
    run: Path, alone: Path, tmp_path: Path
) -> None:
    kept = set(pl.read_parquet(run / "filtered/kept.parquet")["pair_id"])
    for card, sets in ((run / "exports/dpo/README.md", []), (alone, [HERE])):
        found = factory.reproduce(card, tmp_path / f"again-{len(sets)}", sets=sets)
        assert (found.same, found.missing, found.new, found.notes) == (len(kept), 0, 0, [])
        assert found.identical
        assert set(pl.read_parquet(found.run / "filtered/kept.parquet")["pair_id"]) == kept


def test_what_did_not_come_and_what_is_new_are_counted(run: Path, alone: Path, tmp_path: Path) -> None:
    (data,) = alone.glob("data/*.parquet")
    rows = pl.read_parquet(data)
    rows.with_columns(pair_id=pl.when(pl.row_index() == 0).then(pl.lit("f" * 32)).otherwise("pair_id")).write_parquet(
        data
    )
    card = (alone / "README.md").read_text()
    (alone / "README.md").write_text(card.replace("  sso_factory: ", "  sso_factory: 0.0."))
    found = factory.reproduce(alone, tmp_path / "again", sets=[HERE])
    assert (found.same, found.missing, found.new) == (rows.height - 1, 1, 1)
    assert (found.missing_pairs, found.new_pairs) == (["f" * 32], [rows["pair_id"][0]])
    assert not found.identical
    assert found.notes == [f"made by other versions: sso_factory 0.0.{factory.__version__}, now {factory.__version__}"]


def test_other_pairs_are_exit_code_1_and_one_sentence_after_the_result(alone: Path, tmp_path: Path) -> None:
    command = ["reproduce", str(alone), "--set", HERE, "--json"]
    same = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "same")])
    assert (same.exit_code, json.loads(same.stdout)["identical"]) == (0, True)
    other = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "other"), "--set", "run.seed=7", "-v"])
    assert (other.exit_code, json.loads(other.stdout)["identical"]) == (1, False)
    assert "pairs of the card did not come again" in other.stderr.splitlines()[-1]


def test_a_dry_run_says_what_would_be_run_with_prices_and_runs_nothing(alone: Path, tmp_path: Path) -> None:
    paid = "engine={kind: openai, base_url: 'http://127.0.0.1:9/v1', prices: {prompt: 1, completion: 2}}"
    out = tmp_path / "again"
    command = ["reproduce", str(alone), "--out", str(out), "--set", HERE, "--set", "training.method=none", "--dry-run"]
    done = CliRunner().invoke(main, [*command, "--set", paid, "--json"])
    assert done.exit_code == 0, done.output
    assert sum(stage["cost"] or 0 for stage in json.loads(done.stdout)["stages"]) > 0
    assert f"would be run in {out}: 3 iterations for the " in done.stderr
    assert "by openai" in done.stderr
    assert not out.exists()
    told = CliRunner().invoke(main, command)
    assert "nothing was sent" in told.stdout
    refused = CliRunner().invoke(main, [*command, "--set", "judges=[]"])
    assert (refused.exit_code, "judge smollm2 is missing" in refused.stderr) == (2, True)


def without_a_block(folder: Path) -> list[str]:
    (folder / "README.md").write_text("# Pairs\n")
    return [HERE]


def without_rows(folder: Path) -> list[str]:
    shutil.rmtree(folder / "data")
    return [HERE]


def with_other_prompts(folder: Path) -> list[str]:
    changed = folder.parent / "prompts.jsonl"
    changed.write_text(PROMPTS.read_text() + '{"prompt": "One more?"}\n')
    return [f"prompts.paths={changed}"]


def with_a_changed_block(folder: Path) -> list[str]:
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("\nengine:\n  kind: scripted\n", "\nengine: [1]\n"))
    return [HERE]


def of_an_older_version(folder: Path) -> list[str]:
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("\ninputs:\n", "\nelsewhere:\n"))
    return [HERE]


REFUSED: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "not told where the prompts are": (lambda folder: [], "does not tell prompts.paths"),
    "prompts that are gone": (lambda folder: ["prompts.paths=nowhere.jsonl"], "No such file"),
    "other prompts": (with_other_prompts, "fetched: prompts has the fingerprint"),
    "other principles": (
        lambda folder: [HERE, f"principles.set={folder.parent / 'own.yaml'}"],
        "fetched: principles has",
    ),
    "another policy": (lambda folder: [HERE, "policy.model=other"], "fetched: policy has the fingerprint other"),
    "a judge less": (lambda folder: [HERE, "judges=[]"], "fetched: judge smollm2 is missing"),
    "no server": (
        lambda folder: [
            HERE,
            "engine={kind: openai, base_url: 'http://127.0.0.1:9/v1', patience: 0.001}",
            "training.method=none",
        ],
        "cannot be used",
    ),
    "no block": (without_a_block, "does not say how its pairs were made"),
    "a changed block": (with_a_changed_block, "was changed"),
    "an older card": (of_an_older_version, "cards of older versions"),
    "no rows": (without_rows, "holds no rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_reproduced_is_one_sentence(
    name: str, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    own = (ROOT / "principles/sso.yaml").read_text()
    (tmp_path / "own.yaml").write_text(own.replace("Engagement", "Charm"))
    change, said = REFUSED[name]
    sets = [word for one in change(alone) for word in ("--set", one)]
    done = CliRunner().invoke(main, ["reproduce", str(alone), "--out", str(tmp_path / "again"), *sets, "-v"])
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.splitlines()[-1].startswith("sso-factory: ")


def test_a_card_names_neither_program_nor_server_to_a_run(alone: Path) -> None:
    """Whoever wrote it: those keys are the user's to give."""
    path = alone / "README.md"
    evil = {
        "engine": {"kind": "openai", "serve": ["sh", "{model}", "{port}"], "extra_body": {"a": 1}},
        "judges": [{"name": "smollm2", "engine": {"kind": "openai", "base_url": "http://evil.example"}}],
        "policy": {"model": "m", "trust_remote_code": True},
        "prompts": {"paths": ["/etc/passwd"]},
        "training": {"trainer_options": {"a": 1}, "report_to": ["wandb"]},
        "audit": {"judge": {"name": "a"}},
        "run": {"dir": "/", "report_to": ["wandb"]},
    }
    head, block = path.read_text().split("```yaml\npairs:")[0], yaml.safe_load(_block(path))
    path.write_text(
        f"{head.split('## Configuration')[0]}## Configuration\n\n```yaml\n{yaml.safe_dump(block | evil)}```\n"
    )
    found = recorded(alone)
    written = yaml.safe_dump(found.config)
    for word in ("serve", "evil", "extra_body", "trust_remote_code", "passwd", "trainer_options", "report_to", "dir:"):
        assert word not in written
    assert found.unsaid == ["engine.extra_body", "engine.serve", "judges.0.engine.base_url", "prompts.paths"]
    with pytest.raises(ConfigError, match=r"--set engine\.serve=…"):
        factory.reproduce(alone, alone.parent / "again", sets=[HERE])


def _block(path: Path) -> str:
    return path.read_text().split("## Configuration")[1].split("```yaml\n")[1].split("```")[0]


@pytest.mark.parametrize("preset", ["quickstart", "api", "paper"])
def test_a_recipe_makes_the_same_recipe(preset: str) -> None:
    config = load_config(ROOT / f"factory/presets/{preset}.yaml").model_dump(mode="json")
    config |= {"filters": [], "engine": {"kind": "ray", "engine": {"kind": "openai", "base_url": "http://x"}}}
    made = recipe(config)
    again = recipe(made)
    assert again.pop("engine")["engine"] == {"kind": "openai"}
    assert again == {key: value for key, value in made.items() if key != "engine"}
    assert made["filters"] == []
    assert "http" not in yaml.safe_dump(made)


def test_pairs_that_were_mixed_in_come_again_too(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pairs(3).write_parquet(other)
    factory.export(run, "rm", tmp_path / "mixed", mix=[str(other)])
    with pytest.raises(ConfigError, match=r"export\.mix\.0\.path"):
        factory.reproduce(tmp_path / "mixed", tmp_path / "again", sets=[HERE])
    sets = [HERE, f"export.mix.0.path={other}"]
    assert factory.reproduce(tmp_path / "mixed", tmp_path / "again", sets=sets).identical
    pairs(4).write_parquet(other)
    with pytest.raises(InputError, match=r"export\.mix\.0 has the fingerprint"):
        factory.reproduce(tmp_path / "mixed", tmp_path / "again", sets=sets)


def test_models_that_lie_in_folders_are_known_by_their_content_whatever_they_are_for(tmp_path: Path) -> None:
    """The policy, the weaker model, and the judge: another one under the same name is refused, and asked anew."""
    policy, weak, judge = (tmp_path / name for name in ("policy", "weak", "judge"))
    for folder in (policy, weak, judge):
        folder.mkdir()
        (folder / "config.json").write_text(f'{{"of": "{folder.name}"}}')
    config = {
        "prompts": str(PROMPTS),
        "engine": "scripted",
        "policy": {"model": str(policy)},
        "pairs": {"from": "delta", "weak": str(weak)},
        "training": {"method": "none"},
        "run": {"iterations": 1},
        "judges": [{"name": "one", "model": str(judge)}],
        "filters": [{"use": "judge_agrees"}],
        "export": {"formats": ["rm"], "license": "apache-2.0"},
    }
    made = factory.run(config, tmp_path / "run")
    known = recorded(made.root / "exports/rm").inputs
    names = {"policy": policy, "pairs.weak": weak, "model of judge one": judge}
    assert {name: known[name] for name in names} == {name: model_fingerprint(folder) for name, folder in names.items()}
    for name, folder in names.items():
        was = (folder / "config.json").read_text()
        (folder / "config.json").write_text("{}")
        with pytest.raises(InputError, match=f"rm: {name} has the fingerprint"):
            factory.reproduce(made.root / "exports/rm", tmp_path / "again")
        (folder / "config.json").write_text(was)
    votes = made.root / "filtered/filter.manifest.json"
    before = votes.stat().st_mtime_ns
    factory.run(config, tmp_path / "run")
    assert votes.stat().st_mtime_ns == before
    (judge / "config.json").write_text("{}")
    factory.run(config, tmp_path / "run")
    assert votes.stat().st_mtime_ns != before


def test_the_pairs_of_every_format_are_found(tmp_path: Path) -> None:
    table = pl.read_parquet(run_folder(tmp_path / "run", prompts=12) / "filtered/kept.parquet")
    for name in EXPORTERS:
        export(table, name, tmp_path / name)
        found = pair_ids(tmp_path / name)
        assert found, name
        assert found <= set(table["pair_id"]), name
