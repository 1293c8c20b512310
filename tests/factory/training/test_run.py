"""Training end to end on a random model: exact whatever the micro-batches, resumable, with and without adapters."""

import json
from pathlib import Path
from shutil import copytree
from typing import Any, NamedTuple

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Gemma3Config, SiglipVisionConfig

from factory import training
from factory.config import Lora, Training
from factory.config.engines import RayEngine, ScriptedEngine, TransformersEngine
from factory.errors import ConfigError, TrainingError
from factory.models.chat import prompt_ids, reply_ids
from factory.models.load import load_model, merged_path
from factory.models.ref import ModelRef
from factory.models.sequences import plan_for
from factory.training import TrainingJob
from factory.training.policy_trainer import PolicyTrainer
from factory.training.run import train
from factory.training.stats import MetricsFile
from principles.views import view_messages
from tests.heard import Heard
from tests.tiny import tiny_model_folder
from tests.training_pairs import scored_pairs, tiny_policy

PAIRS = scored_pairs()
FAST = Training(learning_rate=1e-3, batch_pairs=5, micro_batch_tokens=600, epochs=2, warmup_ratio=0.0)
# Plain gradient descent: Adam divides by the gradient's size, and so makes rounding of tiny gradients look large.
# And no clipping, which would hide a wrong scale.
DESCENT = FAST.model_copy(
    update={"learning_rate": 1e-4, "max_grad_norm": 1e9, "trainer_options": {"optim": "sgd"}},
)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    torch.set_num_threads(1)
    return tiny_policy(tmp_path_factory.mktemp("policy"))


def changed(config=FAST, **options):
    return config.model_copy(update=options)


def weights(out):
    return load_file(out / "policy" / "model.safetensors")


def distance(one, other):
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def trained(policy, out, config=FAST, pairs=PAIRS, **options):
    report = train(TrainingJob(pairs, policy, out, config, seed=1, iteration=1, **options))
    return report, weights(out)


def lines(out):
    return MetricsFile(out / "metrics.jsonl").read()


class Trained(NamedTuple):
    report: Any
    weights: dict[str, torch.Tensor]
    out: Path


@pytest.fixture(scope="module")
def plain(policy, tmp_path_factory):
    """Trained as FAST says, all that most tests compare theirs with."""
    out = tmp_path_factory.mktemp("plain") / "out"
    return Trained(*trained(policy, out), out)


@pytest.fixture(scope="module")
def descended(policy, tmp_path_factory):
    """Trained as DESCENT says, each step in one micro-batch and nothing computed twice."""
    out = tmp_path_factory.mktemp("descended") / "out"
    return Trained(*trained(policy, out, changed(DESCENT, micro_batch_tokens=10**6, gradient_checkpointing=False)), out)


@pytest.fixture(scope="module")
def adapted(policy, tmp_path_factory):
    """Trained through an adapter that is merged at the end."""
    out = tmp_path_factory.mktemp("adapted") / "out"
    return Trained(*trained(policy, out, changed(lora=Lora(r=4))), out)


def test_a_policy_is_a_folder_that_loads(policy, plain):
    report, found, out = plain
    folder = out / "policy"
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    assert model.dtype == torch.float32
    assert model.config.use_cache
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(policy.name).chat_template
    assert distance(found, load_file(Path(policy.name) / "model.safetensors")) > 1e-4
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json", ".jinja"}, "no pickle"
    assert (report.pairs, report.steps, report.layout, report.dropped) == (12, 6, "flat", {})
    left = {path.name for path in out.iterdir()}
    assert {name.split("-")[0] for name in left} == {"policy", "metrics.jsonl", "reference"}


def test_policy_json_says_where_it_comes_from(policy, plain, tmp_path):
    report, _, out = plain
    record = json.loads((out / "policy" / "policy.json").read_text())
    assert record["parent"] == policy.name
    assert record["iteration"] == 1
    assert record["method"] == "sso"
    assert record["pairs"] == 12
    assert Training(**record["config"]) == FAST
    assert record["fingerprint"] == report.fingerprint
    other, _ = trained(policy, tmp_path / "b", changed(learning_rate=2e-3))
    again, weights_again = trained(policy, tmp_path / "c")
    assert distance(weights_again, plain.weights) == 0
    assert again.fingerprint == report.fingerprint != other.fingerprint


def test_metrics_have_a_line_per_step(plain):
    found = lines(plain.out)
    assert [line["step"] for line in found] == [1, 2, 3, 4, 5, 6]
    assert [line["pairs"] for line in found] == [5, 5, 2, 5, 5, 2]
    assert found[0]["margin"] == pytest.approx(0, abs=1e-6), "policy and reference are equal at the first step"
    # L = 2.5^2 each: W (0.1 * 12.5 + 6.25) = 7.5 W
    assert found[0]["loss"] == pytest.approx(7.5 * found[0]["weight"], abs=1e-4)
    assert found[0]["steering"] == pytest.approx(12.5, abs=1e-4)
    assert found[0]["learning_rate"] == 1e-3
    assert found[-1]["margin"] > 1
    assert found[-1]["accuracy"] == 1
    assert plain.report.loss == found[-1]["loss"]


def test_the_reference_pass_gives_the_on_policy_measure(policy, plain):
    """e^{pi~} of the report equals the same from the model's own logits, by hand."""
    model, tokenizer = load_model(policy, "cpu", torch.float32), AutoTokenizer.from_pretrained(policy.name)
    values = []
    for row in PAIRS.iter_rows(named=True):
        prompt = prompt_ids(tokenizer, view_messages(row["prompt"]))
        reply = reply_ids(tokenizer, row["rejected"], row["finish_rejected"] != "length")
        logps = model(torch.tensor([prompt + reply])).logits[0].log_softmax(-1)
        picked = [logps[len(prompt) - 1 + i, token].item() for i, token in enumerate(reply)]
        values.append(torch.tensor(picked).mean().exp().item())
    assert plain.report.on_policy["rejected"] == pytest.approx(sum(values) / len(values), rel=1e-4)


def test_a_model_whose_own_logits_are_taken_is_trained(tmp_path):
    """llama4_text names no part of it as its base model, so that the projection cannot be made by itself."""
    ref = ModelRef(str(tiny_model_folder(tmp_path / "tiny", "llama4_text", intermediate_size_mlp=64)))
    assert plan_for(load_model(ref)).head is None
    _, found = trained(ref, tmp_path / "out", changed(DESCENT, method="pbaa", epochs=1))
    assert lines(tmp_path / "out")[0]["loss"] == pytest.approx(6.25, abs=1e-4)
    assert 1e-6 < distance(found, load_file(Path(ref.name) / "model.safetensors")) < 1


def test_a_padding_token_that_the_model_was_not_given_is_not_read(policy, descended, tmp_path):
    folder = tmp_path / "padded"
    copytree(policy.name, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id == load_model(policy).config.vocab_size
    tokenizer.save_pretrained(folder)
    _, found = trained(ModelRef(str(folder)), tmp_path / "out", changed(DESCENT, layout="separate"))
    assert distance(found, descended.weights) < 1e-6


def test_a_token_that_the_model_was_not_given_is_named(policy, tmp_path):
    folder = tmp_path / "talks"
    copytree(policy.name, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|new|>"]})
    tokenizer.chat_template = "<|new|>" + tokenizer.chat_template
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"makes the token <\|new\|> of number \d+, and the model knows"):
        trained(ModelRef(str(folder)), tmp_path / "out")


def test_a_model_that_also_sees_is_trained_and_kept_whole(tmp_path):
    ref = ModelRef(str(tiny_model_folder(tmp_path / "text", "gemma3_text")))
    seeing = SiglipVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28
    )
    text = AutoConfig.from_pretrained(ref.name).to_dict()
    config = Gemma3Config(
        text_config=text, vision_config=seeing.to_dict(), boi_token_index=7, eoi_token_index=8, image_token_index=9
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(ref.name)
    (Path(ref.name) / "preprocessor_config.json").write_text("{}")
    for name, lora in {"whole": None, "adapted": Lora(r=4, target_modules=["q_proj"], merge=False)}.items():
        train(TrainingJob(PAIRS, ref, tmp_path / name, changed(epochs=1, lora=lora), seed=1))
        assert (tmp_path / name / "policy" / "preprocessor_config.json").read_text() == "{}"
    found = weights(tmp_path / "whole")
    before = load_file(Path(ref.name) / "model.safetensors")
    moved = {".".join(name.split(".")[:2]) for name in found if not torch.equal(found[name], before[name])}
    assert moved == {"language_model.model"}
    merged_path(ModelRef(str(tmp_path / "adapted" / "policy")), str(tmp_path / "merged"))
    assert (tmp_path / "merged" / "preprocessor_config.json").exists()


@pytest.mark.parametrize("layout", ["packed", "separate"])
@pytest.mark.parametrize("budget", [1, 700, 100_000])
def test_the_mean_is_exact_whatever_the_micro_batches(policy, descended, tmp_path, budget, layout):
    _, found = trained(policy, tmp_path, changed(DESCENT, micro_batch_tokens=budget, layout=layout))
    whole = descended.weights
    assert distance(whole, found) < 1e-6 < 1e-3 < distance(whole, load_file(Path(policy.name) / "model.safetensors"))
    assert lines(tmp_path)[-1]["loss"] == pytest.approx(lines(descended.out)[-1]["loss"], abs=1e-4)


def test_a_step_is_the_gradient_of_the_mean_loss(policy, tmp_path):
    """One step of plain descent over all 12 pairs, against IPO on the model's own logits, one sequence at a time."""
    config = changed(DESCENT, method="pbaa", batch_pairs=12, epochs=1)
    _, found = trained(policy, tmp_path, config)
    model, tokenizer = load_model(policy, "cpu", torch.float32), AutoTokenizer.from_pretrained(policy.name)

    def mean_logp(row, reply):
        prompt = prompt_ids(tokenizer, view_messages(row["prompt"]))
        ids = reply_ids(tokenizer, row[reply], row[f"finish_{reply}"] != "length")
        logps = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        return logps.gather(1, torch.tensor(ids)[:, None]).mean()

    losses = []
    for row in PAIRS.iter_rows(named=True):
        chosen, rejected = mean_logp(row, "chosen"), mean_logp(row, "rejected")
        losses.append((chosen - chosen.detach() - (rejected - rejected.detach()) - 2.5) ** 2)
    (sum(losses) / 12).backward()
    for name, parameter in model.named_parameters():
        expected = (parameter - 1e-4 * parameter.grad).detach()
        assert torch.allclose(found[name], expected, atol=1e-6), name


def test_row_order_changes_nothing(policy, plain, tmp_path):
    _, other = trained(policy, tmp_path, pairs=PAIRS.reverse())
    assert distance(plain.weights, other) == 0


def test_given_log_probabilities_are_the_reference_and_are_not_measured_again(policy, plain, tmp_path, monkeypatch):
    store = next(plain.out.glob("reference-*/part-*.parquet"))
    table = pl.read_parquet(store)
    keys = {e.key: e.pair_id for e in _examples(policy)}
    scores = table.with_columns(pair_id=pl.col("key").replace_strict(keys)).drop("key")
    pairs = PAIRS.drop([c for c in scores.columns if c != "pair_id"]).join(scores, on="pair_id")
    monkeypatch.setattr(PolicyTrainer, "measure", None)
    _, given = trained(policy, tmp_path / "b", pairs=pairs)
    assert distance(plain.weights, given) < 1e-6
    # Another reference is another loss: the columns are not merely looked at.
    shifted = pairs.with_columns(pl.col("logp_chosen_plain") - 1)
    trained(policy, tmp_path / "c", pairs=shifted)
    assert lines(tmp_path / "c")[0]["margin"] == pytest.approx(1, abs=1e-4)


def _examples(policy):
    from factory.training.data import PairReader, encode
    from factory.training.methods import method_of

    reader = PairReader(method_of(FAST).needed, AutoTokenizer.from_pretrained(policy.name), False, 512)
    return encode(PAIRS, reader).examples


def test_offline_another_policys_log_probabilities_are_no_reference(policy, tmp_path):
    """Pairs of a run, trained on with another model: margin 0 at the start says that the reference is its own."""
    scores = {f"logp_{r}_{v}": pl.lit(-9.0 if r == "chosen" else -1.0) for r in ("chosen", "rejected", "original")
              for v in ("plain", "good", "bad")}  # fmt: skip
    pairs = PAIRS.with_columns(**scores, policy=pl.lit("another"))
    train(TrainingJob(pairs, policy, tmp_path / "a", FAST, seed=1))
    assert lines(tmp_path / "a")[0]["margin"] == pytest.approx(0, abs=1e-5)
    own = pairs.with_columns(policy=pl.lit(policy.name))
    train(TrainingJob(own, policy, tmp_path / "b", FAST, seed=1))
    assert abs(lines(tmp_path / "b")[0]["margin"]) > 1


class KillError(BaseException):
    """Stands in for a kill: nothing catches it."""


def kill_after_four_steps(policy, out, config, monkeypatch):
    step = PolicyTrainer.training_step

    def killed(self, model, inputs, *rest):
        if self.state.global_step == 4:
            raise KillError
        return step(self, model, inputs, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(PolicyTrainer, "training_step", killed)
        with pytest.raises(KillError):
            trained(policy, out, config)


@pytest.mark.parametrize("lora", [None, Lora(r=4, dropout=0.1)])
def test_training_killed_in_the_middle_ends_in_the_same_weights(policy, tmp_path, monkeypatch, lora):
    """Killed at step 4 with a checkpoint at 3 of 6; dropout makes the random state matter too."""
    config = changed(save_steps=3, lora=lora)
    _, unbroken = trained(policy, tmp_path / "a", config)
    kill_after_four_steps(policy, tmp_path / "b", config, monkeypatch)
    assert not (tmp_path / "b" / "policy").exists()
    assert len(lines(tmp_path / "b")) == 4
    report, resumed = trained(policy, tmp_path / "b", config)
    assert report.resumed_at == 3
    assert distance(unbroken, resumed) == 0
    assert lines(tmp_path / "a") == lines(tmp_path / "b")


def test_a_merged_policy_whose_saving_was_killed_is_saved_anew(policy, adapted, tmp_path, monkeypatch):
    def killed(*_):
        raise KillError

    with monkeypatch.context() as patch:
        patch.setattr("factory.training.policy.save_processors", killed)
        with pytest.raises(KillError):
            trained(policy, tmp_path, changed(lora=Lora(r=4), save_steps=3))
    assert (tmp_path / "policy" / "model.safetensors").exists()
    _, saved = trained(policy, tmp_path, changed(lora=Lora(r=4), save_steps=3))
    assert distance(saved, adapted.weights) == 0


def test_a_checkpoint_of_another_training_is_not_gone_on_from(policy, tmp_path, monkeypatch):
    kill_after_four_steps(policy, tmp_path, changed(save_steps=3), monkeypatch)
    report, _ = trained(policy, tmp_path, changed(save_steps=3, beta=0.3))
    assert report.resumed_at == 0


def test_an_adapter_merged_and_kept_say_the_same(policy, adapted, tmp_path):
    merged = adapted.weights
    base = load_file(Path(policy.name) / "model.safetensors")
    assert distance(merged, base) > 1e-4
    assert (merged["model.embed_tokens.weight"] == base["model.embed_tokens.weight"]).all(), "only layers are adapted"
    train(TrainingJob(PAIRS, policy, tmp_path / "kept", changed(lora=Lora(r=4, merge=False)), seed=1, iteration=1))
    folder = tmp_path / "kept" / "policy"
    assert (folder / "adapter_model.safetensors").exists()
    assert not (folder / "model.safetensors").exists()
    loaded = load_model(ModelRef(str(folder)), "cpu", torch.float32).state_dict()
    assert max((loaded[name] - value).abs().max().item() for name, value in merged.items()) < 1e-6


def test_an_adapters_first_step_is_measured_against_itself_switched_off(adapted):
    assert lines(adapted.out)[0]["margin"] == pytest.approx(0, abs=1e-6)
    assert lines(adapted.out)[-1]["margin"] > 0.05


def test_a_kept_adapter_is_found_from_every_folder(policy, tmp_path, monkeypatch):
    """Its base was named relative to the folder in which training was started."""
    monkeypatch.chdir(Path(policy.name).parent)
    near = policy._replace(name=Path(policy.name).name)
    train(TrainingJob(PAIRS, near, tmp_path / "a", changed(lora=Lora(r=4, merge=False)), seed=1, iteration=1))
    monkeypatch.chdir(tmp_path)
    assert load_model(ModelRef("./a/policy")).config.hidden_size == 32


def test_a_kept_adapter_can_be_trained_on(policy, tmp_path):
    lora = Lora(r=4, merge=False)
    train(TrainingJob(PAIRS, policy, tmp_path / "a", changed(lora=lora), seed=1, iteration=1))
    second = ModelRef(str(tmp_path / "a" / "policy"))
    report, found = trained(second, tmp_path / "b")
    assert report.steps == 6
    loaded = load_model(second, "cpu", torch.float32).state_dict()
    assert max((loaded[name] - value).abs().max().item() for name, value in found.items()) > 1e-5


@pytest.mark.parametrize(
    "options", [*({"gradient_checkpointing": what} for what in (True, "selective", "by_view")), {"logits_chunk": 3}]
)
def test_saving_memory_changes_nothing(policy, descended, tmp_path, options):
    _, found = trained(policy, tmp_path, changed(DESCENT, **options))
    assert distance(descended.weights, found) < 1e-6


def test_bfloat16_keeps_float32_weights(policy, plain, tmp_path):
    _, half = trained(policy, tmp_path, changed(dtype="bfloat16"))
    assert {value.dtype for value in half.values()} == {torch.float32}
    assert 0 < distance(plain.weights, half) < 1e-2
    assert lines(tmp_path)[0]["margin"] == pytest.approx(0, abs=1e-3)


METHODS = ("sso", "sso_no_w", "sso_no_g", "pbaa", "annotated")


@pytest.mark.parametrize(
    ("loss", "method"),
    [*((loss, "sso") for loss in ("dpo", "hinge", "simpo")), *(("ipo", method) for method in METHODS)],
)
def test_every_method_trains_over_every_loss(policy, tmp_path, loss, method):
    config = changed(loss=loss, method=method, epochs=1, batch_pairs=12)
    report, _ = trained(policy, tmp_path, config)
    line = lines(tmp_path)[0]
    assert report.steps == 1
    assert (line["weight"] is None) == (method not in ("sso", "sso_no_g"))
    assert (line["steering"] is None) == (method not in ("sso", "sso_no_w"))
    assert bool(report.on_policy) == (loss != "simpo")


def test_what_was_left_out_is_reported(policy, tmp_path):
    pairs = PAIRS.with_columns(original=pl.when(pl.int_range(pl.len()) < 2).then(None).otherwise("original"))
    report, _ = trained(policy, tmp_path, pairs=pairs)
    assert report.dropped == {"missing_view": 2}
    assert report.pairs == 10
    assert {line["dropped"] for line in lines(tmp_path)} == {2}


def test_a_lost_loss_stops_the_training(policy, tmp_path):
    scores = {f"logp_{r}_{v}": pl.lit(float("inf")) for r in ("chosen", "rejected", "original")
              for v in ("plain", "good", "bad")}  # fmt: skip
    with pytest.raises(TrainingError, match=r"not a number at step 1; lower training\.learning_rate"):
        trained(policy, tmp_path, pairs=PAIRS.with_columns(**scores))


@pytest.mark.parametrize("options", [{"lr_scheduler": "nonsense"}, {"trainer_options": {"no_such": 1}}])
def test_options_that_transformers_refuses_are_config_errors(policy, tmp_path, options):
    with pytest.raises(ConfigError, match="training"):
        trained(policy, tmp_path, changed(**options))


def test_trainer_options_arrive(policy, tmp_path):
    """The cosine to a fifth of the rate instead of to nothing."""
    options = {"lr_scheduler": "cosine_with_min_lr", "trainer_options": {"lr_scheduler_kwargs": {"min_lr_rate": 0.2}}}
    trained(policy, tmp_path, changed(**options))
    assert lines(tmp_path)[-1]["learning_rate"] > 0.2e-3


def test_a_short_training_wastes_no_step_on_warming_up(policy, tmp_path):
    trained(policy, tmp_path, changed(warmup_ratio=0.1))
    assert lines(tmp_path)[0]["learning_rate"] == 1e-3


def test_random_state_is_left_alone(policy, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    trained(policy, tmp_path, changed(epochs=1))
    assert torch.rand(1) == expected


def test_progress_is_told(policy, tmp_path):
    heard = Heard()
    trained(policy, tmp_path, progress=heard)
    assert heard.started == [("train", 6, "steps", 0)]
    assert (heard.done, heard.finished) == (6, 1)
    assert heard.tokens == sum(line["tokens"] for line in lines(tmp_path))


def test_the_engine_decides_how_training_is_done(tmp_path):
    from factory.training.passing import stage as scripted
    from factory.training.run import stage

    assert training.trainer(TransformersEngine(), Training()) is stage
    assert training.trainer(ScriptedEngine(), Training()) is scripted
    assert training.trainer(RayEngine(engine=ScriptedEngine()), Training()) is scripted
    job = training.TrainingJob(PAIRS, ModelRef("none"), tmp_path / "a", FAST, seed=1, iteration=1)
    facts = scripted(job)
    again = scripted(job._replace(pairs=PAIRS.reverse(), out=tmp_path / "b"))
    other = scripted(job._replace(out=tmp_path / "c", seed=2))
    assert facts == again != other
    assert json.loads((tmp_path / "a" / "policy" / "policy.json").read_text())["fingerprint"] == facts["fingerprint"]
