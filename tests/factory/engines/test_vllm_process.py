"""The side of the vLLM engine that is ours, spoken to by a process that holds no vLLM."""

import json
import os
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from factory.config.engines import VllmEngine
from factory.engines import vllm
from factory.engines.base import Reply, Request, ScoreRequest
from factory.engines.vllm import VllmModel, arguments
from factory.errors import EngineError
from factory.models.load import load_tokenizer
from factory.models.ref import ModelRef
from tests.tiny import tiny_model_folder

HALVES = {"A.weight": (2, 32), "B.weight": (32, 2)}
"""Shapes of an adapter of rank 2 on a matrix of 32 x 32."""


@pytest.fixture(scope="module")
def ref(tmp_path_factory):
    return ModelRef(str(tiny_model_folder(tmp_path_factory.mktemp("model") / "tiny")))


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setattr(vllm, "WORKER", "tests.fake_vllm_worker")


def engine(ref, behaviour=None, **values):
    return VllmModel(VllmEngine(options={"behaviour": behaviour}, **values), ref)


def asked(count, **values):
    return [
        Request(f"r/{i}", [{"role": "user", "content": f"Why {i}?"}], **{"max_new_tokens": 5, **values})
        for i in range(count)
    ]


def test_completions_come_as_they_finish_without_their_end_token(ref):
    with closing(engine(ref)) as model:
        found = list(model.generate(asked(3)))
        assert [c.id for c in found] == ["r/2", "r/1", "r/0"]
        assert {(c.text, c.finish, c.completion_tokens) for c in found} == {(model._renderer.text([40, 41]), "stop", 3)}
        assert [c.prompt_tokens for c in reversed(found)] == model.count_tokens([r.messages for r in asked(3)])
        assert list(model.generate([])) == []


def test_a_refused_job_and_a_prompt_beyond_the_context_fail_alone(ref):
    with closing(engine(ref, max_model_len=40)) as model:
        assert model.context_length == 40
        long = Request("long", [{"role": "user", "content": "moon " * 50}], 5)
        refused = Request("refused", asked(1)[0].messages, 7)
        found = {c.id: c for c in model.generate([long, refused, *asked(1)])}
    assert "context only 40" in found["long"].error
    assert found["refused"].error == "ValueError: seven"
    assert found["r/0"].error is None


def test_choices_are_read_by_name(ref):
    with closing(engine(ref)) as model:
        (answer,) = model.generate(asked(1, choices=("m", "M")))
    assert answer.choice_logprobs == {"m": -1.0, "M": -2.0}
    assert (answer.text, answer.finish, answer.completion_tokens) == ("m", "stop", 1)


def test_scores_are_means_per_reply_whatever_the_order(ref):
    """The process gives minus the token's id as its log-probability, so the mean is minus the mean id."""
    turns = [{"role": "user", "content": "Why?"}]
    replies = (Reply("So it is.", True), Reply("", False), Reply("No", False))
    with closing(engine(ref)) as model:
        requests = [ScoreRequest("a#1", turns, replies), ScoreRequest("none", turns, (Reply("", False),))]
        requests.append(ScoreRequest("long", turns, (Reply("moon " * 300, True),)))
        found = {score.id: score for score in model.score(requests)}
        first, third = (model._renderer.tokenizer(text).input_ids for text in ("So it is.<|im_end|>", "No"))
    assert found["a#1"].tokens == (len(first), 0, len(third))
    assert found["a#1"].logps == (-sum(first) / len(first), None, -sum(third) / len(third))
    assert (found["none"].logps, found["none"].tokens, found["none"].error) == ((None,), (0,), None)
    assert "context only 299" in found["long"].error


def test_answers_of_a_run_that_was_left_are_not_taken_for_the_next_ones(ref):
    with closing(engine(ref)) as model:
        run = model.generate(asked(4))
        next(run)
        run.close()
        assert [c.id for c in model.generate(asked(2))] == ["r/1", "r/0"]


def test_a_model_that_vllm_refuses_is_its_own_sentence(ref):
    with pytest.raises(EngineError, match="vLLM failed: ValueError: no such dtype"):
        engine(ref, "fatal")


def test_a_process_that_dies_leaves_its_last_words(ref):
    with pytest.raises(EngineError, match=r"exit code 139\); its last lines: .*\| Segmentation fault, as it were"):
        engine(ref, "dies")
    with closing(engine(ref, "dies later")) as model:
        run = model.generate(asked(3))
        assert next(run).id == "r/2"
        with pytest.raises(EngineError, match="process ended"):
            next(run)
        with pytest.raises(EngineError, match="process ended"):
            next(model.generate(asked(1)))


def test_closing_ends_the_process_even_a_stubborn_one(ref, monkeypatch):
    monkeypatch.setattr(vllm, "CLOSE_SECONDS", 0.5)
    for behaviour in (None, "stubborn"):
        model = engine(ref, behaviour)
        pid = model._process._child.group
        model.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_policy_kept_as_an_adapter_is_served_merged(ref, tmp_path):
    places = [f"base_model.model.model.layers.{layer}.self_attn.o_proj.lora_" for layer in (0, 1)]
    halves = {f"{place}{half}": torch.ones(size) for place in places for half, size in HALVES.items()}
    save_file(halves, tmp_path / "adapter_model.safetensors")
    settings = {"r": 2, "target_modules": ["o_proj"], "peft_type": "LORA", "base_model_name_or_path": ref.name}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    load_tokenizer(ref).save_pretrained(tmp_path)
    with closing(engine(ModelRef(str(tmp_path)))) as model:
        served = Path(model._merged.name)
        merged = load_file(served / "model.safetensors")
        assert len(list(model.generate(asked(2)))) == 2
    plain = load_file(Path(ref.name) / "model.safetensors")
    assert {name.split(".")[-2] for name in plain if not plain[name].equal(merged[name])} == {"o_proj"}
    assert not served.exists()


def test_every_option_of_the_block_reaches_vllm(ref, tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"r": 32}', "utf-8")
    block = VllmEngine(
        dtype="bfloat16",
        tensor_parallel_size=2,
        pipeline_parallel_size=3,
        gpu_memory_utilization=0.5,
        max_model_len=2048,
        quantization="fp8",
        lora=str(tmp_path),
        enforce_eager=True,
        options={"block_size": 32},
    )
    assert arguments(block, ref, "path") == {
        "model": "path",
        "dtype": "bfloat16",
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 3,
        "gpu_memory_utilization": 0.5,
        "max_model_len": 2048,
        "quantization": "fp8",
        "enable_lora": True,
        "max_lora_rank": 32,
        "enforce_eager": True,
        "trust_remote_code": False,
        "enable_prefix_caching": True,
        "skip_tokenizer_init": True,
        "disable_log_stats": True,
        "block_size": 32,
    }
    with pytest.raises(EngineError, match="is no LoRA adapter"):
        arguments(VllmEngine(lora=str(tmp_path / "none")), ref, "path")
