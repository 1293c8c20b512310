"""A plan before anything is sent: counts as the run has them, money by prices, time where there is a rate for it."""

import json
from pathlib import Path
from typing import Any

import pytest

import factory
from factory.config import Config
from factory.errors import ConfigError
from factory.runs.forecast import Plan, StagePlan
from factory.runs.rates import CEILING, MEASURED, Rates, Time
from factory.store import write_json
from factory.terminal.show import plan as shown

PROMPTS = 24


def config(folder: Path, **blocks: Any) -> Config:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"What of the number {n}?"}) + "\n" for n in range(PROMPTS)))
    base: dict[str, Any] = {
        "run": {"iterations": 2, "dir": str(folder / "run")},
        "prompts": {"paths": [str(path)]},
        "engine": {"kind": "scripted", "delay": 0.001},
        "judges": ["J"],
        "export": {"formats": []},
    }
    return Config.model_validate({**base, **blocks})


def api(**options: Any) -> dict[str, Any]:
    """Blocks of a run over an API."""
    return {
        "engine": {"kind": "openai", "base_url": "http://127.0.0.1:9", **options},
        "training": {"method": "none"},
        "judges": [],
        "filters": [{"use": "duplicate"}],
    }


def by_name(plan: Plan) -> dict[str, StagePlan]:
    return {stage.name: stage for stage in plan.stages}


def test_requests_are_those_of_the_run(tmp_path: Path) -> None:
    settings = config(tmp_path)
    planned = by_name(factory.plan(settings))
    assert not (tmp_path / "run").exists()
    factory.run(settings)
    used = {}
    for path in (tmp_path / "run").rglob("*.manifest.json"):
        used |= json.loads(path.read_text()).get("used", {})
    assert len(used) == 7
    assert {name: stage.requests for name, stage in planned.items() if name != "judge J"} == {
        name: asker["requests"] for name, asker in used.items() if name != "judge J"
    }
    assert planned["replies 1"].requests + planned["replies 2"].requests == 3 * PROMPTS


def test_time_is_unknown_until_the_same_was_run_with_the_same_engine(tmp_path: Path) -> None:
    settings = config(tmp_path)
    planned = factory.plan(settings)
    assert {stage.time for stage in planned.stages} == {Time()}
    assert "unknown" in shown(planned)
    factory.run(settings)
    again = factory.plan(settings)
    assert {stage.time.basis for stage in again.stages} == {MEASURED}
    assert again.total.time.seconds == sum(stage.time.seconds or 0.0 for stage in again.stages)
    other = factory.plan(config(tmp_path, sampling={"max_new_tokens": 77}))
    assert {stage.name for stage in other.stages if stage.time == Time()} == {"replies 1", "replies 2"}
    slower = factory.plan(config(tmp_path, engine={"kind": "scripted", "delay": 0.002}))
    assert {stage.time for stage in slower.stages} == {Time()}
    assert slower.total.time == Time()


def test_measured_time_is_requests_over_the_rate_of_all_stages_of_that_kind(tmp_path: Path) -> None:
    """30 + 10 answers in 5 + 3 seconds are 5 a second: 100 take 20 seconds."""
    for number, asked, seconds in ((1, 30, 5.0), (2, 10, 3.0)):
        used = {f"replies {number}": {"asked": asked, "seconds": seconds, "setting": "S"}}
        manifest = {
            "version": 1,
            "stage": "triples",
            "fingerprint": "",
            "inputs": {},
            "outputs": {},
            "facts": {},
            "used": used,
        }
        write_json(tmp_path / f"iterations/{number}/triples.manifest.json", manifest)
    rates, block = Rates.of(tmp_path), config(tmp_path).engine
    assert rates.time("replies 7", "S", block, 100, 0) == Time(20.0, MEASURED)
    assert rates.time("replies 7", "T", block, 100, 0) == Time()
    assert rates.time("features 1", "S", block, 100, 0) == Time()


@pytest.mark.parametrize(
    ("ceilings", "minutes"),
    [
        ({"requests_per_minute": 10}, lambda stage: stage.requests / 10),
        ({"tokens_per_minute": 500}, lambda stage: (stage.prompt_tokens + stage.completion_tokens) / 500),
    ],
)
def test_ceilings_say_the_time_where_nothing_was_measured(tmp_path: Path, ceilings: dict, minutes: Any) -> None:
    planned = factory.plan(config(tmp_path, **api(**ceilings)))
    assert len(planned.stages) == 5
    for stage in planned.stages:
        assert stage.time.basis == CEILING
        assert stage.time.seconds == pytest.approx(60 * minutes(stage))
    assert shown(planned).count(CEILING) == len(planned.stages)


def test_money_is_there_where_prices_are(tmp_path: Path) -> None:
    assert {stage.cost for stage in factory.plan(config(tmp_path, **api())).stages} == {None}
    priced = factory.plan(config(tmp_path, **api(prices={"prompt": 2.0, "completion": 10.0})))
    for stage in priced.stages:
        assert stage.cost == pytest.approx((2.0 * stage.prompt_tokens + 10.0 * stage.completion_tokens) / 1e6)


def test_money_is_written_out_and_a_bound_below_it_is_said(tmp_path: Path) -> None:
    dear = api(prices={"prompt": 2e5, "completion": 1e6})
    for bound, said in ((None, ""), (1.5, "lies below what is expected: a run"), (1e9, "")):
        text = shown(factory.plan(config(tmp_path, **dear, run={"iterations": 1, "max_cost": bound})))
        assert "e+0" not in text
        assert ("run.max_cost" in text) == bool(said)
        assert said in text
    planned = factory.plan(config(tmp_path, **dear, run={"iterations": 1}))
    between = (planned.total.cost or 0.0) + 1
    assert "lies below that: a run" in shown(planned._replace(max_cost=between))


def test_under_a_target_the_iterations_are_counted_and_the_rest_is_named(tmp_path: Path) -> None:
    prompts = {"paths": [str(tmp_path / "prompts.jsonl")], "target_pairs": 50, "per_round": 9}
    settings = config(tmp_path, prompts=prompts, filters=[{"use": "judge_agrees"}])
    planned = factory.plan(settings)
    assert (planned.prompts, planned.further) == (18, 6)
    assert by_name(planned)["features 1"].requests == by_name(planned)["features 2"].requests == 9
    assert "6 more prompts wait" in shown(planned)


def test_what_no_run_can_do_is_refused_before_it_is_counted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="goes on asking the untrained model"):
        factory.plan(config(tmp_path, engine={"kind": "openai"}))


@pytest.mark.parametrize("maker", ["best_of_n", "label_first"])
def test_a_way_that_makes_one_pair_of_a_prompt_is_judged_once(maker: str, tmp_path: Path) -> None:
    """Whatever `samples_per_view` says, which it does not read."""

    def judged(samples: int) -> StagePlan:
        blocks = {"pairs": maker, "training": {"method": "none"}, "judges": ["j"], "filters": [{"use": "judge_agrees"}]}
        found = by_name(
            factory.plan(config(tmp_path, sampling={"samples_per_view": samples}, **blocks), tmp_path / "no")
        )
        return found["judge j"]

    assert judged(1).most == judged(3).most
    assert judged(1).low == judged(3).low
