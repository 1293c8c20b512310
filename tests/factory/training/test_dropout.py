"""Dropout is off unless asked for, wherever a model keeps it: the first margin is 0, the policy keeps its settings."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from factory.config import Lora, Training
from factory.errors import ConfigError
from factory.models.ref import ModelRef
from factory.models.sequences import same_in_training
from factory.training import TrainingJob
from factory.training.policy import dropout, trainable
from factory.training.run import train
from factory.training.stats import MetricsFile
from tests.tiny import tiny_model_folder
from tests.training_pairs import scored_pairs

SIZES = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.3}
FAST = Training(learning_rate=1e-3, batch_pairs=6, warmup_ratio=0.0)
RATES = {
    "gpt2": {"resid_pdrop": 0.3, "embd_pdrop": 0.3, "attn_pdrop": 0.3},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "attention_dropout": 0.3, "resid_dropout": 0.3},
    "opt": {"dropout": 0.3, "attention_dropout": 0.3, "layerdrop": 0.5, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "bloom": {"hidden_dropout": 0.3, "attention_dropout": 0.3},
    "falcon": {"hidden_dropout": 0.3, "attention_dropout": 0.3, "ffn_hidden_size": 64},
    "llama": {"attention_dropout": 0.5},
    "phi": {"resid_pdrop": 0.3, "embd_pdrop": 0.3, "attention_dropout": 0.3},
    "gpt_neox": {"hidden_dropout": 0.3, "attention_dropout": 0.3},
    "xglm": {"dropout": 0.3, "attention_dropout": 0.3, "activation_dropout": 0.3, "ffn_dim": 64, "layerdrop": 0.3},
}
"""Kept as modules, as numbers of a layer, or read off the configuration, as each architecture happens to."""


def model_of(arch):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(arch, **{**SIZES, **HEADS, **RATES[arch]}))


@pytest.mark.parametrize("arch", RATES)
def test_no_architecture_drops_anything(arch):
    model = model_of(arch)
    before, mode = model.config.to_dict(), model.training
    assert not same_in_training(model), "there is something to switch off"
    with dropout(model, on=True):
        assert not same_in_training(model)
    with dropout(model, on=False):
        assert same_in_training(model)
    assert model.config.to_dict() == before
    assert model.training == mode
    assert not same_in_training(model), "as it was"


def first_margin(policy, out, **options):
    train(TrainingJob(scored_pairs(6), policy, out, FAST.model_copy(update=options), seed=1, iteration=1))
    return MetricsFile(out / "metrics.jsonl").read()[0]["margin"]


def test_training_starts_at_margin_0_and_saves_the_configuration_as_it_came(tmp_path):
    policy = ModelRef(str(tiny_model_folder(tmp_path / "m", "gpt2", resid_pdrop=0.1, n_inner=64)))
    assert first_margin(policy, tmp_path / "off") == pytest.approx(0, abs=1e-6)
    assert abs(first_margin(policy, tmp_path / "on", dropout=True)) > 1e-2
    saved = AutoConfig.from_pretrained(tmp_path / "off" / "policy")
    assert (saved.resid_pdrop, saved.embd_pdrop, saved.attn_pdrop) == (0.1, 0.1, 0.1)


def test_an_adapters_own_dropout_stays(tmp_path):
    policy = ModelRef(str(tiny_model_folder(tmp_path / "m", "phi", resid_pdrop=0.1)))
    model = trainable(policy, Lora(r=2, dropout=0.25))
    with dropout(model, on=False):
        rates = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    assert {rate for name, rate in rates.items() if "lora_dropout" in name} == {0.25}
    assert {rate for name, rate in rates.items() if "lora_dropout" not in name} == {0.0}


class Noisy(nn.Linear):
    """Noise that no configuration names, as routers of mixtures of experts may add it."""

    def forward(self, states):
        return super().forward(states + torch.randn_like(states) if self.training else states)


def test_a_model_that_draws_all_the_same_is_refused_in_a_sentence(tmp_path, monkeypatch):
    policy = ModelRef(str(tiny_model_folder(tmp_path / "m")))

    def noisy(*given):
        model = trainable(*given)
        model.lm_head.__class__ = Noisy
        return model

    monkeypatch.setattr("factory.training.run.trainable", noisy)
    with pytest.raises(ConfigError, match=r"training\.dropout: LlamaForCausalLM goes on drawing .*; set it to true"):
        first_margin(policy, tmp_path / "off")
    first_margin(policy, tmp_path / "on", dropout=True)
