"""The end of a run: exports know the files that they read, and a run pushes what it exported, once."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants as hub_constants
import polars as pl
import pytest

import factory
from factory.config import Export
from factory.errors import ConfigError
from factory.exports.facts.models import RunFacts
from factory.exports.facts.run import run_facts
from factory.pipeline import Outcome
from factory.store.ownership import RECORD
from tests.heard import Heard
from tests.hub import Hub
from tests.pairs import pair, table, user

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "examples" / "quickstart.yaml"

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret_of_the_test")
        monkeypatch.setattr(hub_constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        yield running


def run(run_dir: Path, **export: object) -> tuple[Outcome, list[str]]:
    config = factory.load_config(QUICKSTART, ["engine.kind=scripted", "run.iterations=1"])
    config = config.model_copy(update={"export": Export(formats=["rm"], **export)})
    said = Heard()
    return factory.run(config, run_dir, progress=said), said.lines


def test_a_run_pushes_its_export_once(hub: Hub, tmp_path: Path) -> None:
    done, _ = run(tmp_path / "run", push_to_hub="someone/pairs")
    assert done.pushed == f"{hub.url}/datasets/someone/pairs"
    folder = tmp_path / "run" / "exports" / "rm"
    local = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    there = hub.repos["someone/pairs"]
    assert {name: there[name] for name in there if name != RECORD} == {n: local[n] for n in local if n != RECORD}
    assert b'load_dataset("someone/pairs")' in local["README.md"]
    again, lines = run(tmp_path / "run", push_to_hub="someone/pairs")
    assert len(hub.commits) == 1
    assert again.pushed == done.pushed
    assert "exports/push: done before, reused" in lines


def test_another_place_is_pushed_to(hub: Hub, tmp_path: Path) -> None:
    run(tmp_path / "run", push_to_hub="someone/pairs")
    run(tmp_path / "run", push_to_hub="someone/others")
    assert set(hub.repos) == {"someone/pairs", "someone/others"}


def test_a_push_that_fails_loses_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.fail["repos/create"] = 403
    with pytest.raises(factory.errors.FactoryError, match="someone/pairs"):
        run(tmp_path / "run", push_to_hub="someone/pairs")
    assert (tmp_path / "run" / "report.html").is_file()
    hub.fail.clear()
    _, lines = run(tmp_path / "run", push_to_hub="someone/pairs")
    assert len(hub.commits) == 1
    assert "exports/rm: done before, reused" in lines


@pytest.mark.parametrize(
    ("export", "words"),
    [
        ({"push_to_hub": "someone/pairs", "formats": ["rm", "dpo"]}, "takes one format"),
        ({"push_to_hub": "pairs"}, "USER/NAME"),
        ({"push_to_hub": "someone/pairs"}, "set HF_TOKEN"),
        ({"decontaminate": ["nowhere.jsonl"]}, "no file nowhere.jsonl"),
    ],
)
def test_what_cannot_be_exported_is_said_before_anything_is_made(
    tmp_path: Path, export: dict, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    config = factory.load_config(QUICKSTART, ["engine.kind=scripted"])
    config = config.model_copy(update={"export": Export.model_validate(export)})
    with pytest.raises(ConfigError, match=words):
        factory.run(config, tmp_path / "run")
    with pytest.raises(ConfigError, match=words):
        factory.plan(config)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_changed_file_is_mixed_in_again(tmp_path: Path) -> None:
    """The same path with other contents; and the same contents again, which changes nothing."""
    other, bench = tmp_path / "other.parquet", tmp_path / "bench.txt"
    bench.write_text("an unrelated question about the harvest\n")
    counts = []
    for number in (1, 1, 3):
        table([pair([user(f"other question {n}")], "good", "bad") for n in range(number)]).write_parquet(other)
        done, lines = run(tmp_path / "run", mix=[str(other)], decontaminate=[str(bench)])
        counts.append(done.exports[0].facts["rows"])
    assert any(line == "exports/rm: made again, because mix changed" for line in lines), lines
    assert counts[0] == counts[1] == counts[2] - 2
    bench.write_text("other question 2, which is now one of the benchmark's\nother question 2\n")
    done, lines = run(tmp_path / "run", mix=[str(other)], decontaminate=[str(bench)])
    assert any("because decontaminate changed" in line for line in lines), lines
    assert done.exports[0].facts["rows"] == counts[2] - 1


def test_an_export_without_a_mix_is_decontaminated_too(tmp_path: Path) -> None:
    prompts = ["how does a sundial tell the time in winter", "what is it"]
    frame = table([pair([user(text)], "good", "bad") for text in prompts] * 2)
    bench = tmp_path / "bench.txt"
    bench.write_text(prompts[0] + "\n")
    factory.export(frame, "rm", tmp_path / "out", decontaminate=[bench], test_share=0)
    kept = pl.read_parquet(tmp_path / "out/data/*.parquet")
    assert [row[0]["content"] for row in kept["chosen"].to_list()] == [prompts[1]] * 2


def told(root: Path) -> RunFacts:
    """What card and report say of a run, but for what it took."""
    return run_facts(root).model_copy(update={"bill": None, "seconds": {}, "finished": None})


def test_nothing_is_said_of_what_an_earlier_configuration_left(tmp_path: Path) -> None:
    """Fewer iterations, pairs made otherwise, no training, no audit: as in a folder that never had another."""
    quick = ["engine.kind=scripted", "prompts.limit=8", "export.formats=[rm]"]
    before = [*quick, "run.iterations=2", "audit.judge={name: A, engine: scripted}"]
    after = [*quick, "run.iterations=1", "training.method=none", "pairs={from: delta, weak: other}"]
    factory.run(factory.load_config(QUICKSTART, before), tmp_path / "run")
    (tmp_path / "run/iterations/1/metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')  # as a real engine's
    longer = told(tmp_path / "run")
    first = longer.iterations[0]
    assert (len(longer.iterations), bool(longer.audit), len(first.metrics), bool(first.prompts)) == (2, True, 1, True)
    factory.run(factory.load_config(QUICKSTART, after), tmp_path / "run")
    factory.run(factory.load_config(QUICKSTART, after), tmp_path / "fresh/run")
    assert told(tmp_path / "run") == told(tmp_path / "fresh/run")
    assert (tmp_path / "run/iterations/2/scores.parquet").is_file()


def test_a_card_is_made_again_with_all_that_it_says(tmp_path: Path) -> None:
    """The licences of prompts and models change no pair, and stand on the card."""
    quick = ["engine.kind=scripted", "run.iterations=1", "training.method=none", "export.formats=[rm]"]
    for more in ([], ["prompts.license=cc0-1.0"], ["policy.license=cc-by-4.0"]):
        said = Heard()
        factory.run(factory.load_config(QUICKSTART, [*quick, *more]), tmp_path / "run", progress=said)
        again = [line for line in said.lines if "made again" in line]
        assert all("exports/rm: made again, because card" in line for line in again)
        assert len(again) == len(more)
        card = (tmp_path / "run/exports/rm/README.md").read_text()
        assert all(one.partition("=")[2] in card for one in more)


def test_an_audit_of_pairs_that_are_kept_no_more_is_left_out(tmp_path: Path) -> None:
    audited = ["engine.kind=scripted", "run.iterations=1", "audit.judge={name: A, engine: scripted}"]
    factory.run(factory.load_config(QUICKSTART, audited), tmp_path / "run")
    assert told(tmp_path / "run").audit is not None
    factory.run(factory.load_config(QUICKSTART, audited[:2]), tmp_path / "run", until="filter")
    assert told(tmp_path / "run").audit is None
    fewer = [*audited, "filters=[{use: length_gap, max_chars: 1}]"]
    factory.run(factory.load_config(QUICKSTART, fewer), tmp_path / "run", until="filter")
    assert told(tmp_path / "run").audit is None


def test_a_run_that_keeps_no_pair_says_what_dropped_each(tmp_path: Path) -> None:
    """In one sentence, and report and rejected pairs are there to look at."""
    config = factory.load_config(QUICKSTART, ["engine.kind=scripted", "run.iterations=1"])
    with pytest.raises(factory.errors.InputError) as caught:
        factory.run(config, tmp_path / "run", preview=1)
    kept_none = tmp_path / "run-preview"
    funnel = Outcome(kept_none).funnel
    dropped = [f"{step.filter} {reason} {n}" for step in funnel.steps for reason, n in step.reasons.items()]
    assert f"kept none of {funnel.input} pairs" in str(caught.value)
    assert dropped
    assert ", ".join(dropped) in str(caught.value)
    assert pl.read_parquet(kept_none / "filtered" / "rejected.parquet").height == funnel.input
    assert factory.report(kept_none).is_file()
