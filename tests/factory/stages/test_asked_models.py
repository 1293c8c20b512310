"""Which engine answers for a judge, and every model that a run asks."""

from typing import Any

import pytest

from factory.config import Config, Judge
from factory.stages.asked_models import asked_models, judge_block, remote_models

PROMPTS = {"paths": ["prompts.jsonl"]}


@pytest.mark.parametrize(
    ("judge", "run", "kind"),
    [
        ({"name": "gpt-4o"}, "vllm", "openai"),
        ({"name": "gpt-4o"}, None, "openai"),
        ({"name": "gpt-4o"}, "scripted", "scripted"),
        ({"name": "org/name"}, "vllm", "vllm"),
        ({"name": "org/name"}, None, "transformers"),
        ({"name": "J", "model": "bundled:smollm2-135m-instruct"}, "vllm", "vllm"),
        ({"name": "J", "model": "."}, "vllm", "vllm"),
        ({"name": "org/name", "engine": "anthropic"}, "scripted", "anthropic"),
    ],
)
def test_a_judge_runs_on_its_own_engine_or_the_run_s_and_a_vendor_s_name_on_an_api(
    judge: dict[str, Any], run: str | None, kind: str
) -> None:
    engine = None if run is None else Config.model_validate({"engine": run, "prompts": PROMPTS}).engine
    assert judge_block(Judge.model_validate(judge), engine).inner.kind == kind


def test_every_model_that_is_asked_has_its_engine_and_account() -> None:
    config = Config.model_validate(
        {
            "prompts": PROMPTS,
            "policy": {"model": "org/policy", "system_role": "fold"},
            "pairs": {"from": "delta", "weak": "small", "weak_engine": {"kind": "openai", "model": "served"}},
            "judges": ["org/local", "gpt-4o"],
            "audit": {"judge": {"name": "claude", "engine": "anthropic"}},
        }
    )
    found = [(one.key, one.engine, one.ref.name, one.ref.fold_system, one.account) for one in asked_models(config)]
    assert found == [
        ("policy", "engine", "org/policy", True, "engine"),
        ("pairs.weak", "pairs.weak_engine", "small", False, "weak"),
        ("judges.0", "engine", "org/local", False, "engine"),
        ("judges.1", "judges.1.engine", "gpt-4o", False, "judge gpt-4o"),
        ("audit.judge", "audit.judge.engine", "claude", False, "audit claude"),
    ]
    assert [one.name for one in remote_models(config)] == ["served", "gpt-4o", "claude"]
