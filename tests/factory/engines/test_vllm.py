"""The vLLM engine on vLLM itself; runs where vllm is installed, the CPU build included."""

import math
import os
import signal
from importlib.util import find_spec

import pytest

from factory.config.engines import TransformersEngine, VllmEngine
from factory.engines.base import Reply, Request, ScoreRequest
from factory.errors import EngineError
from factory.models.ref import ModelRef
from tests.tiny import tiny_model_folder

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.integration,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed: make test-vllm"),
]
QUESTIONS = ["Explain how bread rises.", "Hi", "Is the dull answer lively?", "The moon, the sea and the old sailor."]


@pytest.fixture(scope="module")
def ref(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return ModelRef(str(tiny_model_folder(folder, head_dim=64, num_attention_heads=2, num_key_value_heads=1)))


def start(ref, **values):
    from factory.engines.vllm import VllmModel

    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    return VllmModel(VllmEngine(dtype="float32", enforce_eager=True, max_model_len=200, **values), ref)


@pytest.fixture(scope="module")
def model(ref):
    engine = start(ref)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def reference(ref):
    from factory.engines.transformers import TransformersModel

    return TransformersModel(TransformersEngine(device="cpu", dtype="float32"), ref)


def asked(**values):
    values = {"max_new_tokens": 20, "temperature": 0.0, **values}
    return [Request(f"r/{i}", [{"role": "user", "content": text}], **values) for i, text in enumerate(QUESTIONS)]


def answers(engine, requests):
    return {c.id: c for c in engine.generate(requests)}


def test_greedy_replies_are_those_of_transformers(model, reference):
    assert answers(model, asked()) == answers(reference, asked())


def test_sampled_replies_stop_and_are_counted(model):
    found = answers(model, asked(temperature=1.0, top_p=0.9, seed=3))
    assert len(found) == 4
    for answer in found.values():
        assert answer.finish in ("stop", "length")
        assert answer.finish == "stop" or answer.completion_tokens == 20


def test_choices_have_the_log_probabilities_of_transformers(model, reference):
    found, expected = (answers(engine, asked(choices=("m", "M"))) for engine in (model, reference))
    for name, answer in found.items():
        assert answer.choice_logprobs == pytest.approx(expected[name].choice_logprobs, abs=1e-3)
        assert (answer.text, answer.completion_tokens) == (expected[name].text, 1)


def test_scores_are_those_of_transformers(model, reference):
    replies = (Reply("It is baked.", True), Reply("The moon", False), Reply("", False))
    requests = [ScoreRequest(r.id, r.messages, replies) for r in asked()]
    found, expected = ({score.id: score for score in engine.score(requests)} for engine in (model, reference))
    assert found.keys() == expected.keys()
    for name, score in found.items():
        assert score.tokens == expected[name].tokens
        assert all(
            math.isclose(one, other, abs_tol=1e-3) if other is not None else one is None
            for one, other in zip(score.logps, expected[name].logps, strict=True)
        )


def test_a_prompt_beyond_the_context_fails_alone(model):
    long = Request("long", [{"role": "user", "content": "moon " * 300}], 5)
    found = answers(model, [long, *asked()[:1]])
    assert "context only 200" in found["long"].error
    assert found["r/0"].error is None


def test_a_run_that_was_left_does_not_disturb_the_next(model, reference):
    run = model.generate(asked(max_new_tokens=100))
    next(run)
    run.close()
    assert answers(model, asked()) == answers(reference, asked())


def test_an_adapter_is_served_and_a_killed_process_is_one_sentence(model, ref, tmp_path):
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    place = "base_model.model.model.layers.0.self_attn.o_proj.lora_"
    save_file(
        {f"{place}A.weight": torch.randn(8, 128), f"{place}B.weight": torch.randn(32, 8)},
        tmp_path / "adapter_model.safetensors",
    )
    (tmp_path / "adapter_config.json").write_text(
        '{"r": 8, "lora_alpha": 8, "target_modules": ["o_proj"], "peft_type": "LORA", "task_type": "CAUSAL_LM"}',
        "utf-8",
    )
    engine = start(ref, lora=str(tmp_path))
    child = engine._process._child
    try:
        assert answers(engine, asked()) != answers(model, asked())
        run = engine.generate(asked(max_new_tokens=150))
        os.killpg(child.group, signal.SIGKILL)
        with pytest.raises(EngineError, match="the vLLM process ended"):
            list(run)
    finally:
        engine.close()
    assert child.exit_code() is not None
