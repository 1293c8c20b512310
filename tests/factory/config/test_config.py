"""Configuration blocks: every field is explained, none is changed after loading, short forms are understood."""

import pytest
from pydantic import BaseModel, ValidationError

from factory import config
from factory.config import Config, Judge, Prompts
from factory.config import engines as engine_blocks
from factory.config import prompts as prompts_block
from factory.strict import descriptions

BLOCKS = sorted(
    {
        value
        for module in (config, engine_blocks, prompts_block)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__.startswith("factory")
    },
    key=lambda block: block.__name__,
)
TAGS = {"kind"}
"""What tells engines apart explains itself."""
PLAIN = {"Config", "Answering"}
"""Blocks whose fields are blocks with a docstring of their own."""


def test_there_are_blocks():
    assert len(BLOCKS) > 15


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_every_block_and_field_is_explained(block):
    assert block.__doc__
    missing = {*block.model_fields} - {*descriptions(block)} - TAGS
    assert block.__name__ in PLAIN or not missing


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_unknown_keys_are_errors_and_values_do_not_change(block):
    assert block.model_config["extra"] == "forbid"
    assert block.model_config["frozen"]


def test_short_forms_mean_the_long_ones():
    short = Config.model_validate({"prompts": "a.jsonl", "engine": "vllm", "judges": ["gpt-4o", {"model": "m"}]})
    assert (short.prompts.paths, short.engine.kind) == (["a.jsonl"], "vllm")
    assert [(judge.name, judge.model) for judge in short.judges] == [("gpt-4o", None), ("m", "m")]
    assert Prompts.model_validate({"path": "a"}).paths == ["a"]
    assert Prompts.model_validate({"path": ["a", "b"]}).paths == ["a", "b"]
    judge = Judge.model_validate({"name": "j", "base_url": "http://localhost"})
    assert judge.engine is not None
    assert judge.engine.model_dump()["base_url"] == "http://localhost"


def test_defaults_are_the_paper_s():
    made = Config.model_validate({"prompts": "x"})
    training, sampling = made.training, made.sampling
    assert (training.loss, training.beta, training.gamma, training.alpha) == ("ipo", 0.2, 0.1, 0.66)
    assert (training.learning_rate, training.batch_pairs, training.epochs) == (5e-7, 128, 1)
    assert (sampling.top_p, sampling.temperature, sampling.max_new_tokens) == (0.8, 0.7, 2048)
    assert (made.run.iterations, training.steering, training.weight_scope) == (3, "original", "all")


def test_a_dumped_configuration_loads_as_itself():
    made = Config.model_validate({"prompts": "x", "engine": "openai", "judges": ["a"], "training": {"lora": {}}})
    assert Config.model_validate(made.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    "bad", [{}, {"prompts": "x", "more": 1}, {"prompts": []}, {"prompts": "x", "run": {"iterations": 0}}]
)
def test_what_is_missing_unknown_empty_or_too_small_is_refused(bad):
    with pytest.raises(ValidationError):
        Config.model_validate(bad)


def test_an_adapter_that_is_trained_again_in_its_folder_is_another_engine(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"one")
    block = engine_blocks.VllmEngine(lora=str(tmp_path))
    before = block.fingerprint
    assert block.fingerprint == before
    (tmp_path / "adapter_model.safetensors").write_bytes(b"two")
    assert block.fingerprint != before
    assert engine_blocks.VllmEngine(lora="nowhere").fingerprint["lora"] == "nowhere"
