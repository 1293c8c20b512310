"""`check`: what would fail at the end of a run is told before anything is paid for."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import factory
from factory.cli import main
from factory.config import Config
from factory.errors import ConfigError, EngineError, FactoryError, MissingExtraError
from factory.line.checking import FILE, due
from factory.terminal import show
from tests import loopback
from tests.factory.engines.api.test_money import _environment, bill, config, speak  # noqa: F401 - a fixture
from tests.heard import Heard
from tests.hub import Hub
from tests.loopback import Loopback, Seen, Spoken, Wire


def changed(settings: Config, **blocks: dict[str, Any]) -> Config:
    raw = settings.model_dump()
    return Config.model_validate({**raw, **{name: {**raw[name], **keys} for name, keys in blocks.items()}})


def test_each_model_is_asked_once_and_all_is_said(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        found = factory.check(config(tmp_path, server))
        assert [seen.body["model"] for seen in server.asked] == ["writer", "J", "A"]
    assert all(one.well for one in found)
    assert [one.what for one in found][::2] == ["policy: writer", "judges.0: J", "audit.judge: A", found[-1].what]
    text = show.check(found)
    assert "answers with a verdict" in text
    assert "1,000,000 a million prompt tokens" in text
    assert "GiB are free" in text


def test_a_weaker_model_is_asked_and_priced_and_pays_by_itself(tmp_path: Path) -> None:
    """Without a price it is refused where money is bounded; its own bound holds beside the run engine's."""
    with Loopback(speak) as server:
        raw = config(tmp_path, server).model_dump()
        weak = {**raw["engine"], "model": "small"}

        def delta(bound: float | None = None, **engine: Any) -> Config:
            pairs = {"from": "delta", "weak": "small", "weak_engine": {**weak, **engine}}
            return Config.model_validate({**raw, "run": {**raw["run"], "max_cost": bound}, "pairs": pairs})

        for settings in (delta(1e6, prices=None), delta(prices=None, max_cost=5)):
            with pytest.raises(ConfigError, match=r"max_cost needs .* small .* pairs\.weak_engine\.prices"):
                factory.check(settings)
        assert server.asked == []
        assert factory.check(delta())[2].what == "pairs.weak: small"
        assert [seen.body["model"] for seen in server.asked] == ["writer", "small", "J", "A"]
        with pytest.raises(EngineError, match=r"^pairs\.weak_engine\.max_cost is reached"):
            factory.run(delta(max_cost=60.0), check=False)
        weaker = [seen.body for seen in server.asked[4:] if seen.body["model"] == "small"]
        assert 0 < bill(weaker) <= 60
    took = {row.name: row.cost for row in factory.bill(tmp_path / "run").rows}
    assert took["weaker model"] == bill(weaker), "what is under way stands in a row of its own"


def test_a_run_checks_itself_once_and_pays_for_it(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        settings = config(tmp_path, server)
        planned = factory.plan(settings)
        factory.run(settings, until="prompts")
        assert len(server.asked) == 3
        row, asked = planned.stages[0], [seen.body for seen in server.asked]
        assert (row.name, row.requests, row.most.requests) == ("check", 3, 3)
        assert 0 < bill(asked) <= (row.most.cost or 0.0)
        assert "check" not in [stage.name for stage in factory.plan(settings).stages], "what was asked is not due"
        factory.run(settings, until="prompts")
        assert len(server.asked) == 3, "what was found well is not asked again"
        factory.run(config(tmp_path, server, engine={"extra_body": {"top_k": 3}}), until="prompts")
        assert len(server.asked) == 6, "another engine is"
        factory.run(settings, tmp_path / "other", until="prompts", check=False)
        assert len(server.asked) == 6
        with pytest.raises(EngineError, match=r"run\.max_cost is reached"):
            factory.run(config(tmp_path, server, run={"max_cost": 1}), tmp_path / "third")
        assert len(server.asked) == 6
    assert not (tmp_path / "other" / FILE).exists()


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (loopback.error(401, "Incorrect API key"), "does not accept the key"),
        (loopback.error(404, "no such model"), "knows no model writer"),
        (loopback.error(400, "temperature is not liked"), r"policy: writer does not answer \(temperature"),
        (loopback.no_quota(), "no credit left"),
    ],
)
def test_what_a_server_refuses_ends_a_run_before_its_first_request(tmp_path: Path, wire: Wire, said: str) -> None:
    with Loopback(speak, faults=lambda seen: wire) as server:
        for go in (factory.check, factory.run):
            with pytest.raises(EngineError, match=said):
                go(config(tmp_path, server))
        assert {len(seen.body["messages"]) for seen in server.asked} == {1}, "no feature was asked for"
    assert not (tmp_path / "run" / FILE).exists()


def test_a_judge_that_cannot_be_read_and_a_model_without_a_price_are_told(tmp_path: Path) -> None:
    def babble(seen: Seen) -> Spoken:
        return Spoken("Both are nice.") if seen.body["model"] == "J" else speak(seen)

    heard = Heard()
    with Loopback(babble) as server:
        factory.run(config(tmp_path, server, engine={"prices": None}), until="prompts", progress=heard)
    assert [line for line in heard.lines if "no verdict can be read from 'Both are nice.'" in line]
    assert [line for line in heard.lines if "check: policy: writer: its price is not known" in line]


def test_training_a_model_that_an_api_alone_knows_is_refused(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        settings = changed(config(tmp_path, server), training={"method": "sso"})
        with pytest.raises(ConfigError, match=r"scores and trains the policy on this machine, and writer is a name"):
            factory.run(settings)
        assert server.log == []
        factory.plan(changed(settings, policy={"model": "org/name"}))


def test_a_filter_that_drops_further_rounds_is_refused_before_there_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("One?\nTwo?\n")
    prompts = {"paths": [str(tmp_path / "prompts.txt")], "target_pairs": 3}
    kept = [{"use": "iteration", "keep": {"*": [1]}}]
    settings = {"prompts": prompts, "engine": "scripted", "training": {"method": "none"}, "filters": kept}
    for command in (factory.check, factory.plan, factory.run):
        with pytest.raises(ConfigError, match="which this filter iteration drops"):
            command(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_stage_that_is_none_is_refused_in_a_plan_too(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        settings = config(tmp_path, server)
        with pytest.raises(ConfigError, match="no stage 'trples'"):
            factory.plan(settings, until="trples")
        assert [stage.name for stage in factory.plan(settings, until="features").stages] == ["check", "features 1"]
        assert [stage.name for stage in factory.plan(settings, until="audit").stages][3:] == ["judge J", "audit A"]


def test_the_hubs_token_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with Hub() as hub, Loopback(speak) as server:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_marked")
        settings = changed(config(tmp_path, server), export={"push_to_hub": "me/data", "formats": ["rm"]})
        assert [one for one in factory.check(settings) if one.what == "Hub: me/data"]


def test_the_command_prints_what_was_looked_at(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        (tmp_path / "sso.yaml").write_text(config(tmp_path, server).model_dump_json())
        done = CliRunner().invoke(main, ["check", str(tmp_path / "sso.yaml")])
        assert (done.exit_code, "judges.0: J" in done.output) == (0, True)
        done = CliRunner().invoke(main, ["check", str(tmp_path / "sso.yaml"), "--set", "run.max_cost=0.5"])
        assert done.exit_code == 0
    done = CliRunner().invoke(main, ["run", str(tmp_path / "sso.yaml"), "--dry-run", "--until", "trples"])
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit | FactoryError)


def test_a_garbled_note_of_what_was_checked_is_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with Loopback(speak) as server:
        assert len(due(config(tmp_path, server), tmp_path)) == 3


def test_what_an_auditor_needs_is_told_before_a_prompt_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has begun goes on where an engine of its later stages is not installed, up to these."""
    there = {"torch", "transformers"}
    monkeypatch.setattr("factory.engines.find_spec", lambda name: True if name in there else None)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "hi"}\n{"prompt": "ho"}\n', encoding="utf-8")
    raw = {"prompts": {"paths": [str(tmp_path / "prompts.jsonl")]}, "engine": "scripted", "run": {"iterations": 1}}
    raw |= {"training": {"method": "none"}, "filters": [], "audit": {"judge": {"name": "J", "engine": "vllm"}}}
    with pytest.raises(MissingExtraError, match="needs the package vllm"):
        factory.check(raw)
    with pytest.raises(MissingExtraError, match="needs the package vllm"):
        factory.run(raw, tmp_path / "run")
    assert not (tmp_path / "run/prompts.parquet").exists()
    there.add("vllm")
    factory.run(raw, tmp_path / "run", until="prompts")
    there.remove("vllm")
    factory.run(raw, tmp_path / "run", until="filter")
