"""Prompts of several turns or with a system message, many samples and written principles, through the line."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest

import factory
from factory.config import Config
from factory.engines.base import Completion, Request
from factory.engines.scripted import ScriptedModel

TURNS = [
    {"role": "user", "content": "Name a river."},
    {"role": "assistant", "content": "The Rhine."},
    {"role": "user", "content": "And a longer one?"},
]
PIRATE = {"role": "system", "content": "You are a pirate."}
PROMPTS = [
    TURNS,
    [PIRATE, {"role": "user", "content": "Where is the gold?"}],
    [PIRATE, *TURNS],
    [{"role": "user", "content": "Why is the sky blue?"}],
]
SAMPLES = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Request]]:
    folder = tmp_path_factory.mktemp("line")
    source = folder / "prompts.jsonl"
    source.write_text("".join(json.dumps({"messages": prompt}) + "\n" for prompt in PROMPTS))
    config = Config.model_validate(
        {
            "run": {"iterations": 1},
            "prompts": {"paths": [str(source)]},
            "engine": "scripted",
            "principles": {"source": "generated"},
            "sampling": {"samples_per_view": SAMPLES},
            "filters": [{"use": "duplicate"}, {"use": "judge_agrees", "rule": "no_judge_prefers_rejected"}],
            "judges": [{"name": "J", "frugal": False}],
            "export": {"formats": ["rm", "dpo"], "test_share": 0.0},
        }
    )
    asked: list[Request] = []
    generate = ScriptedModel.generate

    def remembered(self: ScriptedModel, requests: Sequence[Request]) -> Iterator[Completion]:
        asked.extend(requests)
        return generate(self, requests)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedModel, "generate", remembered)
        factory.run(config, folder / "run")
    return folder / "run", asked


def manifest(run_dir: Path, stage: str) -> dict:
    return json.loads((run_dir / f"{stage}.manifest.json").read_text())


def facts(run_dir: Path, stage: str) -> dict:
    return manifest(run_dir, stage)["facts"]


def of(asked: list[Request], stage: str) -> list[Request]:
    return [request for request in asked if request.tags["stage"] == stage]


def test_each_prompt_is_asked_once_for_features_once_for_principles_and_in_three_views(made) -> None:
    counts = Counter(request.tags["stage"] for request in made[1])
    assert {stage: counts[stage] for stage in ("features", "principle", "reply")} == {
        "features": len(PROMPTS),
        "principle": len(PROMPTS),
        "reply": len(PROMPTS) * 3 * SAMPLES,
    }
    assert manifest(made[0], "iterations/1/triples")["used"]["replies 1"]["requests"] == counts["reply"]


def test_every_sample_makes_a_pair_or_is_rejected_with_a_reason(made) -> None:
    found = facts(made[0], "iterations/1/triples")
    assert found["rows"] + found["rejected"] == len(PROMPTS) * SAMPLES
    assert found["rows"] >= 2 * len(PROMPTS)
    pairs = pl.read_parquet(made[0] / "iterations/1/triples.parquet")
    assert pairs["pair_id"].is_unique().all()
    assert pairs.group_by("prompt_id").len()["len"].max() == SAMPLES


def test_the_principles_asked_for_are_those_the_replies_are_steered_by(made) -> None:
    found = facts(made[0], "iterations/1/contrast")
    assert found["values"] == {"generated": len(PROMPTS)}
    systems = {message["content"] for request in of(made[1], "reply") for message in request.messages[:1]}
    assert sum("Put " in text and "first in every sentence" in text for text in systems) >= 1
    assert set(pl.read_parquet(made[0] / "iterations/1/scores.parquet")["principle_source"]) == {"generated"}


def test_turns_are_kept_and_the_own_system_message_stands_above_the_principle(made) -> None:
    views = {}
    for request in of(made[1], "reply"):
        views[request.tags["prompt_id"], request.tags["view"]] = request.messages
    plain = [messages for (_, view), messages in views.items() if view == "plain"]
    assert sorted(map(json.dumps, plain)) == sorted(map(json.dumps, PROMPTS))
    for (prompt_id, view), messages in views.items():
        own = views[prompt_id, "plain"]
        if view == "plain":
            continue
        assert messages[0]["role"] == "system"
        assert messages[1:] == [turn for turn in own if turn["role"] != "system"]
        assert messages[0]["content"].startswith("You are a pirate.\n\n") == (own[0] == PIRATE)


def test_features_judge_and_principles_see_the_whole_conversation_as_data(made) -> None:
    for stage in ("features", "principle", "judge"):
        last = [request.messages[-1]["content"] for request in of(made[1], stage)]
        assert any("The Rhine." in text and "And a longer one?" in text for text in last), stage
        assert any("You are a pirate." in text for text in last), stage


def test_exports_keep_the_turns_and_rm_folds_the_system_message_in(made) -> None:
    dpo = pl.read_parquet(made[0] / "exports/dpo/**/*.parquet").to_dicts()
    assert {json.dumps(row["prompt"]) for row in dpo} <= set(map(json.dumps, PROMPTS))
    assert any(row["prompt"][0] == PIRATE for row in dpo)
    rm = pl.read_parquet(made[0] / "exports/rm/**/*.parquet").to_dicts()
    assert all(message["role"] != "system" for row in rm for message in row["chosen"])
    assert any(row["chosen"][0]["content"].startswith("You are a pirate.\n\nName a river.") for row in rm)
    assert all(row["chosen"][:-1] == row["rejected"][:-1] for row in rm)
