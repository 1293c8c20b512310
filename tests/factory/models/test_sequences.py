"""Reply log-probabilities: every layout equals the plain computation, values and gradients, or falls back by itself."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from factory.errors import ConfigError
from factory.models import head
from factory.models.head import Head
from factory.models.layout import Encoded, layout
from factory.models.layout import layout as layout_of
from factory.models.quiet import quiet_peft
from factory.models.sequences import SequencePlan, plan_for, reply_logps
from factory.models.shared_prompt import kernel

SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SLIDING = {"head_dim": 8, "sliding_window": 6}
PLAIN = {"llama": {}, "qwen2": {}, "gemma": {"head_dim": 8}, "cohere": {}, "granite": {"logits_scaling": 4.0}}
OTHERS = {
    "gemma2": {**SLIDING, "query_pre_attn_scalar": 8, "final_logit_softcapping": 2.0},
    "gemma3_text": SLIDING,
    "mistral": {"sliding_window": 6},
    "recurrent_gemma": {"num_hidden_layers": 3, "num_key_value_heads": 1, "lru_width": 32, "attention_window_size": 6},
    "mamba": {"state_size": 4},
}


def model_of(arch, attention="sdpa", dtype=torch.float32):
    torch.manual_seed(0)
    settings = {**SIZES, **PLAIN.get(arch, {}), **OTHERS.get(arch, {})}
    if arch in ("mamba", "gemma2"):
        attention = "eager"
    config = AutoConfig.for_model(arch, **settings)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).to(dtype).eval()


def items():
    """Two prompts, of 9 and 4 tokens, with replies longer than any sliding window above."""
    tokens = torch.randint(3, 300, (60,), generator=torch.Generator().manual_seed(1)).tolist()
    return [
        Encoded(tokens[:9], (tokens[9:21], tokens[21:36])),
        Encoded(tokens[36:40], (tokens[40:51], tokens[51:53], [])),
    ]


def plainly(model, given):
    """The same sums, one sequence at a time, from the model's own logits, in float64 after them."""
    sums = []
    for item in given:
        for reply in item.replies:
            ids = torch.tensor([[*item.prompt, *reply]])
            logits = model(input_ids=ids).logits[0].double()
            logps = logits.log_softmax(-1)
            places = range(len(item.prompt) - 1, len(item.prompt) + len(reply) - 1)
            sums.append(sum((logps[i, token] for i, token in zip(places, reply, strict=True)), torch.zeros(())))
    return torch.stack(sums)


def packed_by(model, plan, chunk=1024):
    return reply_logps(model, layout(items(), plan.layout), plan, chunk)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("arch", PLAIN)
def test_packed_equals_separate(arch, attention):
    model = model_of(arch, attention)
    plan = plan_for(model)
    assert plan.layout == ("flat" if attention == "sdpa" else "masked")
    assert plan.head is not None
    assert model.config._attn_implementation == attention
    found = packed_by(model, plan)
    assert found.counts.tolist() == [12, 15, 11, 2, 0]
    assert found.sums.dtype == torch.float32
    np.testing.assert_allclose(found.sums.detach(), plainly(model, items()).detach(), atol=1e-4)


@pytest.mark.parametrize("arch", OTHERS)
def test_what_is_not_plain_attention_falls_back_by_itself(arch):
    model = model_of(arch)
    plan = plan_for(model)
    assert plan.layout == "separate"
    assert plan.head is not None
    assert plan_for(model).layout == "separate"
    np.testing.assert_allclose(packed_by(model, plan).sums.detach(), plainly(model, items()).detach(), atol=1e-4)


def test_packing_such_a_model_would_indeed_be_wrong():
    model = model_of("gemma3_text")
    head = plan_for(model).head
    assert (packed_by(model, SequencePlan("masked", head)).sums - plainly(model, items())).abs().max() > 1e-2


def test_a_window_longer_than_any_probe_counts():
    """On the probe's 15 tokens a window of 64 is full attention, so only the configuration can tell."""
    torch.manual_seed(0)
    config = AutoConfig.for_model("gemma3_text", **{**SIZES, "head_dim": 8, "sliding_window": 64})
    assert plan_for(AutoModelForCausalLM.from_config(config).eval()).layout == "separate"


GPT_NEO = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 256, "initializer_range": 0.3}


@pytest.mark.parametrize(
    ("window", "kinds", "layout"),
    [(64, "local", "separate"), (64, "global", "masked"), (16, "local", "separate"), (300, "local", "masked")],
)
def test_a_window_under_any_name_is_probed_beyond(window, kinds, layout):
    """GPT-Neo names its windows in words of its own; one longer than the context of 256 is none."""
    torch.manual_seed(0)
    types = [[["global", kinds], 1]]
    config = AutoConfig.for_model("gpt_neo", vocab_size=300, window_size=window, attention_types=types, **GPT_NEO)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    plan = plan_for(model)
    assert plan.layout == layout
    tokens = torch.randint(3, 300, (220,), generator=torch.Generator().manual_seed(1)).tolist()
    long = [Encoded(tokens[:9], (tokens[9:150], tokens[150:220]))]
    found = reply_logps(model, layout_of(long, plan.layout), plan).sums
    np.testing.assert_allclose(found.detach(), plainly(model, long).detach(), rtol=1e-5)


def test_a_model_whose_numbers_may_be_a_long_window_is_not_packed():
    model = model_of("llama")
    model.config.max_position_embeddings = 100_000
    assert plan_for(model).layout == "flat"
    model.config.some_reach = 2000
    assert plan_for(model).layout == "separate"
    model.config.some_reach = 60
    assert plan_for(model).layout == "flat", "probed, and found to mean nothing"


def test_a_model_that_only_looks_plain_is_found_out():
    """Bloom has no position ids: its distances come from the place in the row. Its configuration does not say so."""
    torch.manual_seed(0)
    config = AutoConfig.for_model("bloom", vocab_size=300, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3)
    model = AutoModelForCausalLM.from_config(config).eval()
    assert getattr(config, "layer_types", None) is None
    plan = plan_for(model)
    assert plan.layout == "separate"
    np.testing.assert_allclose(packed_by(model, plan).sums.detach(), plainly(model, items()).detach(), atol=1e-4)


def test_asking_for_what_a_model_cannot_is_an_error():
    with pytest.raises(ConfigError, match=r"training.layout: MambaForCausalLM"):
        plan_for(model_of("mamba"), "packed")
    assert plan_for(model_of("llama"), "packed").layout == "flat"
    assert plan_for(model_of("llama"), "separate").layout == "separate"


def test_a_window_that_is_configured_but_unused_does_not_count():
    model = model_of("qwen2")
    model.config.sliding_window, model.config.use_sliding_window = 6, False
    assert plan_for(model).layout == "flat"


def test_an_unknown_output_trick_takes_the_models_own_logits():
    model = model_of("llama")
    project = model.lm_head.forward
    model.forward = lambda *a, **k: _doubled(type(model).forward(model, *a, **k))
    plan = plan_for(model)
    assert plan.head is None
    found = packed_by(model, plan).sums
    del model.forward
    model.lm_head.forward = lambda states: 2 * project(states)
    np.testing.assert_allclose(found.detach(), plainly(model, items()).detach(), atol=1e-4)


def _doubled(output):
    output.logits = 2 * output.logits
    return output


def test_probing_leaves_the_model_as_it_was():
    model = model_of("llama").train()
    plan_for(model)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def gradients(model, sums):
    model.zero_grad()
    weights = torch.tensor([0.3, -1.0, 2.0, 0.5, 1.0], dtype=sums.dtype)
    (weights * sums).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("chunk", "kept_bytes"), [(1024, 0), (7, 0), (7, 2**28), (None, 0)])
def test_gradients_equal_the_plain_ones(attention, chunk, kept_bytes, checkpointing, monkeypatch):
    """40 reply tokens in chunks of 7 make six chunks, five of which are computed again, or none; or one at a time."""
    monkeypatch.setattr(head, "KEPT_BYTES", kept_bytes)
    model = model_of("llama", attention)
    expected = gradients(model, plainly(model, items()))
    plan = plan_for(model)
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.train()
    with kernel(model, plan.layout == "flat"):
        found = gradients(model, packed_by(model, plan, chunk).sums)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, atol=2e-4, err_msg=name)


@pytest.mark.parametrize(("kept_chunks", "again"), [(0, [16, 16]), (1.5, [16]), (2, [])])
def test_chunks_bound_the_logits_that_are_held(kept_chunks, again, monkeypatch):
    model = model_of("llama")
    monkeypatch.setattr(head, "KEPT_BYTES", int(kept_chunks * 16 * model.config.vocab_size * 4))
    seen = []
    original = Head.logits
    monkeypatch.setattr(Head, "logits", lambda self, p, states: seen.append(len(states)) or original(self, p, states))
    gradients(model, packed_by(model, SequencePlan("flat", Head()), chunk=16).sums)
    # 40 tokens: the last 8, 16 and 16, then in the backward pass those not kept. Never the 20 prompt tokens or padding.
    assert seen[:3] == [8, 16, 16]
    assert seen[3:] == again


def test_packed_sums_in_bfloat16_are_exact_within_its_rounding():
    """Eight bits of mantissa: 0.4 % of each token's 5 to 6 nats, over at most 15 tokens."""
    model = model_of("llama", dtype=torch.bfloat16)
    plan = plan_for(model)
    assert plan.layout == "flat"
    found, exact = packed_by(model, plan).sums, plainly(model_of("llama"), items())
    assert found.dtype == torch.float32
    assert ((found - exact).abs() / torch.tensor([12, 15, 11, 2, 1])).max() < 0.1


def test_under_autocast_sums_stay_float32_and_near():
    model = model_of("llama", "eager")
    with torch.autocast("cpu", torch.bfloat16):
        found = packed_by(model, plan_for(model)).sums
    assert found.dtype == torch.float32
    assert ((found - plainly(model, items())).abs() / torch.tensor([12, 15, 11, 2, 1])).max() < 0.1


def test_a_reply_never_sees_another():
    """Changing the first reply leaves the second reply's number alone, bit for bit."""
    model = model_of("llama")
    plan = plan_for(model)
    first = Encoded([5, 6, 7], ([8, 9, 10], [11, 12]))
    other = first._replace(replies=([200, 201, 202], [11, 12]))
    sums = [reply_logps(model, layout([item], "flat"), plan).sums for item in (first, other)]
    assert sums[0][1] == sums[1][1]
    assert sums[0][0] != sums[1][0]


def test_an_adapter_packs_and_switches_off_like_the_bare_model():
    peft = pytest.importorskip("peft")
    model = model_of("llama")
    bare = plainly(model, items()).detach()
    with quiet_peft():
        adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    plan = plan_for(adapted)
    assert plan.layout == "flat"
    np.testing.assert_allclose(packed_by(adapted, plan).sums.detach(), bare, atol=1e-4)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    changed = packed_by(adapted, plan).sums.detach()
    assert (changed - bare).abs().max() > 0.1
    with adapted.disable_adapter():
        np.testing.assert_allclose(packed_by(adapted, plan).sums.detach(), bare, atol=1e-4)
