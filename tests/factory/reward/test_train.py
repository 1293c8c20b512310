"""Reward training on a random model of two layers: what it leaves, what it counts, that a kill costs nothing."""

import json
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from factory.commands.reward import reward_train
from factory.config import Export
from factory.errors import ConfigError, EngineError, InputError
from factory.exports.destinations.write import export
from factory.reward.data import read_data
from factory.reward.scorer import RewardModel
from factory.reward.tokens import PairTokens
from factory.reward.trainer import PairTrainer, order
from tests.heard import Heard
from tests.pairs import assistant, pair, pairs, table, user
from tests.tiny import tiny_model_folder

QUICK = ("max_steps=2", "batch_pairs=4")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_model_folder(tmp_path_factory.mktemp("base"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def rewards(folder: Path, texts: list[tuple[str, str]]) -> list[float]:
    """As a stranger to the project computes them."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for prompt, reply in texts:
        text = tokenizer.apply_chat_template([user(prompt), assistant(reply)], tokenize=False)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
        with torch.no_grad():
            found.append(model(ids).logits.item())
    return found


def test_two_steps_leave_a_model_that_transformers_loads(base: Path, tmp_path: Path) -> None:
    done = reward_train(pairs(12), str(base), tmp_path / "out", sets=[*QUICK, "test_share=0.3"])
    facts = json.loads((done.model / "reward.json").read_text())
    assert facts["steps"] == done.facts["steps"] == 2
    assert facts["pairs"] + facts["test"]["n"] == 24
    assert facts["test"]["low"] < facts["test"]["accuracy"] or facts["test"]["accuracy"] == 0
    assert len((tmp_path / "out" / "metrics.jsonl").read_text().splitlines()) == 2
    assert not list((tmp_path / "out").rglob("checkpoint-*"))
    model = AutoModelForSequenceClassification.from_pretrained(done.model)
    assert model.config.num_labels == 1
    assert not torch.equal(weights(done.model)["model.norm.weight"], weights(base)["model.norm.weight"])


def test_it_is_made_once_and_again_when_the_pairs_change(base: Path, tmp_path: Path) -> None:
    first = reward_train(pairs(6), str(base), tmp_path / "out", sets=QUICK)
    before = weights(first.model)
    stamp = (first.model / "model.safetensors").stat().st_mtime_ns
    reward_train(pairs(6), str(base), tmp_path / "out", sets=[*QUICK, "save_steps=9"])
    assert (first.model / "model.safetensors").stat().st_mtime_ns == stamp
    reward_train(pairs(7), str(base), tmp_path / "out", sets=QUICK)
    assert not torch.equal(weights(first.model)["score.weight"], before["score.weight"])


def test_a_killed_training_goes_on_to_the_same_weights(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"sets": ["max_steps=5", "batch_pairs=4", "save_steps=2"]}
    whole = reward_train(pairs(12), str(base), tmp_path / "whole", **options)
    log = PairTrainer.log

    def die(self: PairTrainer, logs: dict[str, float], start_time: float | None = None) -> None:
        log(self, logs, start_time)
        if self.state.global_step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PairTrainer, "log", die)
        with pytest.raises(KeyboardInterrupt):
            reward_train(pairs(12), str(base), tmp_path / "killed", **options)
    heard = Heard()
    again = reward_train(pairs(12), str(base), tmp_path / "killed", progress=heard, **options)
    assert ("reward train", 5, "steps", 2) in heard.started
    assert again.facts["resumed_at"] == 2
    assert again.facts["steps"] == 5
    for name, tensor in weights(whole.model).items():
        assert torch.equal(tensor, weights(again.model)[name]), name
    lines = [json.loads(line)["step"] for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert lines == [1, 2, 3, 4, 5]


def test_an_adapter_is_saved_merged_and_scores_as_it_did(base: Path, tmp_path: Path) -> None:
    """The accuracy on the test split was measured with the merged model; the folder must give the same rewards."""
    seen: list[float] = []
    inner = RewardModel.rewards

    def watched(self: RewardModel, conversations: Any, progress: Any) -> Any:
        found = inner(self, conversations, progress)
        seen.extend(reward.score for reward in found)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RewardModel, "rewards", watched)
        plain = pairs(12).filter(pl.col("prompt").list.len() == 1)
        done = reward_train(plain, str(base), tmp_path / "out", sets=[*QUICK, "lora.r=4", "test_share=0.5"])
    test = read_data(plain, 0.5, 42).test
    texts = [(row["prompt"][0]["content"], row[side]) for side in ("chosen", "rejected") for row in test.to_dicts()]
    assert not list(done.model.glob("adapter*"))
    assert rewards(done.model, texts) == pytest.approx(seen, abs=1e-4)
    assert torch.equal(weights(done.model)["model.norm.weight"], weights(base)["model.norm.weight"])


def test_an_adapter_that_stays_apart_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="merge"):
        reward_train(pairs(4), str(base), tmp_path / "out", sets=["lora.merge=false"])


def test_layers_that_are_not_there_are_one_sentence(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="target_modules"):
        reward_train(pairs(4), str(base), tmp_path / "out", sets=["lora.target_modules=[no_such_layer]"])


def test_a_tracker_that_is_not_there_is_one_sentence(base: Path, tmp_path: Path) -> None:
    for name, words in {
        "clearml": "report_to: clearml is not installed",
        "tensorbord": "report_to: tensorbord is not supported",
    }.items():
        with pytest.raises(ConfigError, match=words):
            reward_train(pairs(4), str(base), tmp_path / name, sets=[f"report_to=[{name}]"])


def test_too_long_pairs_are_left_out_and_counted(base: Path, tmp_path: Path) -> None:
    long = table([pair([user("q")], "word " * 400, "short")])
    done = reward_train(pl.concat([pairs(6), long]), str(base), tmp_path / "out", sets=[*QUICK, "test_share=0"])
    assert done.facts["dropped"] == {"too_long": 1}
    assert done.facts["pairs"] == 12
    assert done.facts["test"] is None
    with pytest.raises(InputError, match="1 too_long; raise max_length"):
        reward_train(long, str(base), tmp_path / "none")


def test_the_test_split_of_an_export_is_never_trained_on(tmp_path: Path) -> None:
    export(pairs(30), "rm", tmp_path / "rm", Export(test_share=0.3))
    loaded = datasets.load_dataset(str(tmp_path / "rm"), cache_dir=str(tmp_path / "cache"))
    for given in (str(tmp_path / "rm"), loaded):
        found = read_data(given, 0.5, seed=1)
        assert (found.train.height, found.test.height) == (len(loaded["train"]), len(loaded["test"]))
        assert not set(found.train["prompt_id"]) & set(found.test["prompt_id"])


SPLITS = [
    ("harmless-base/train.jsonl", "harmless-base/test.jsonl"),
    ("train.json", "validation.json"),
    ("data/train_prefs-00000-of-00001.jsonl", "data/test_prefs-00000-of-00001.jsonl"),
    ("default/train/0000.jsonl", "default/test/0000.jsonl"),
]


@pytest.mark.parametrize(("train", "test"), SPLITS)
def test_a_test_split_is_told_by_its_name_and_said(train: str, test: str, tmp_path: Path) -> None:
    """Five rows to train on and two for the test, of which one is no pair; one prompt of the five is in the test."""
    for name, prompts in {train: "abcde", test: "ef"}.items():
        rows = [{"prompt": p, "chosen": "yes", "rejected": "no" if p != "f" else "yes"} for p in prompts]
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    heard = Heard()
    found = read_data(tmp_path, 0.5, seed=1, progress=heard)
    assert (found.train.height, found.test.height, found.unread, found.in_test) == (4, 1, 1, 1)
    assert f"held out as the test, and not trained on: {tmp_path / test}" in heard.lines
    assert "1 rows are no pairs and are set aside: identical 1" in heard.lines
    # Alone, or named by itself, it is as good to train on as any file.
    assert read_data([tmp_path / train, tmp_path / test], 0, seed=1).train.height == 6


def test_a_saved_data_set_has_its_test_split_too(tmp_path: Path) -> None:
    made = {n: datasets.Dataset.from_list([{"prompt": n, "chosen": "a", "rejected": "b"}]) for n in ("train", "test")}
    datasets.DatasetDict(made).save_to_disk(str(tmp_path / "saved"))
    found = read_data(tmp_path / "saved", 0, seed=1)
    assert (found.train.height, found.test.height) == (1, 1)


def test_no_file_beside_an_export_is_passed_over(tmp_path: Path) -> None:
    export(pairs(30), "rm", tmp_path / "rm", Export(test_share=0.3))
    alone = read_data(tmp_path / "rm", 0.5, seed=1)
    (tmp_path / "rm" / "more.jsonl").write_text(json.dumps({"prompt": "new", "chosen": "yes", "rejected": "no"}))
    assert read_data(tmp_path / "rm", 0.5, seed=1).train.height == alone.train.height + 1


def test_pairs_of_another_file_with_a_prompt_of_the_test_are_left_out(tmp_path: Path) -> None:
    export(pairs(30), "rm", tmp_path / "rm", Export(test_share=0.3))
    whole = pairs(30, source="elsewhere").with_columns(chosen=pl.col("chosen") + " again")
    alone = read_data(tmp_path / "rm", 0.5, seed=1)
    found = read_data([tmp_path / "rm", whole], 0.5, seed=1)
    assert found.test.height == alone.test.height
    assert found.in_test > 0
    assert found.train.height == alone.train.height + 60 - found.in_test


def test_centred_rewards_reach_the_loss(base: Path, tmp_path: Path) -> None:
    losses = []
    for name, more in (("plain", []), ("centred", ["center_rewards_coefficient=10"])):
        reward_train(pairs(8), str(base), tmp_path / name, sets=["max_steps=1", "batch_pairs=4", *more])
        losses.append(json.loads((tmp_path / name / "metrics.jsonl").read_text())["loss"])
    assert losses[1] > losses[0] + 1


def test_the_order_holds_every_pair_once_an_epoch_and_like_lengths_together() -> None:
    made = [PairTokens(f"{i:03}", [0] * (1 + 7 * i % 50), [0]) for i in range(70)]
    found = order(made, epochs=2, batch=8, seed=3)
    assert sorted(pair.pair_id for pair in found[:70]) == [pair.pair_id for pair in made]
    assert found == order(list(reversed(made)), epochs=2, batch=8, seed=3)
    assert found[:70] != found[70:]
    assert order(made, epochs=10**9, batch=8, seed=3, most=100) == found[:100]
    steps = [[pair.length for pair in found[i : i + 8]] for i in range(0, 64, 8)]
    assert max(max(lengths) - min(lengths) for lengths in steps) < 10


def test_no_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no model folder"):
        reward_train(pairs(4), "./nowhere", tmp_path / "out")


def labelled(**columns: Any) -> pl.DataFrame:
    frame = pairs(6)
    return frame.with_columns(**{name: pl.Series(name, values) for name, values in columns.items()})


def first_gradient(base: Path, folder: Path, frame: pl.DataFrame, **options: Any) -> dict[str, torch.Tensor]:
    """What one step of plain descent over all pairs at rate 1 takes off each weight: the gradient."""
    sets = [f"{key}={value}" for key, value in options.items()]
    sets += ["batch_pairs=12", "micro_batch_pairs=12", "test_share=0", "learning_rate=1", "lr_scheduler=constant"]
    sets += ["warmup_ratio=0", "max_grad_norm=1e9", "trainer_options.optim=sgd"]
    done = reward_train(frame, str(base), folder, sets=sets, seed=3)
    assert done.facts["steps"] == 1
    with torch.random.fork_rng():
        torch.manual_seed(3)
        before = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1).state_dict()
    return {name: before[name] - value for name, value in weights(done.model).items()}


def expected_gradient(base: Path, frame: pl.DataFrame) -> dict[str, torch.Tensor]:
    """The formula of docs/reward.md on the model's own rewards, in float64, from columns m and p."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1).double()
    tokenizer = AutoTokenizer.from_pretrained(base)
    losses = []
    for row in frame.iter_rows(named=True):
        sides = [[*row["prompt"], assistant(row[side])] for side in ("chosen", "rejected")]
        ids = [tokenizer.apply_chat_template(side, return_tensors="pt")["input_ids"] for side in sides]
        chosen, rejected = (model(one).logits.squeeze() for one in ids)
        d = chosen - rejected - row["m"]
        losses.append(-row["p"] * d.sigmoid().log() - (1 - row["p"]) * (-d).sigmoid().log())
    torch.stack(losses).mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    ("m", "p", "options"),
    [
        ([0.0], [1.0], {}),
        ([0.5, 2.0, -1.0], [1.0], {"margin": "m"}),
        ([0.0], [0.9, 0.3, 0.5], {"soft_labels": "p"}),
        ([0.5, 2.0, -1.0], [0.9, 0.3, 0.5], {"margin": "m", "soft_labels": "p"}),
    ],
)
def test_the_gradient_is_that_of_the_formula(base: Path, tmp_path: Path, m: Any, p: Any, options: Any) -> None:
    """A column is used when it is named and only then: the first case has both columns, full of other numbers."""
    frame = pairs(6)
    frame = frame.with_columns(m=pl.Series((m * 12)[: len(frame)]), p=pl.Series((p * 12)[: len(frame)]))
    given = frame if options else frame.with_columns(m=7.0, p=0.1, margin=3.0, p_chosen=0.2)
    found, expected = first_gradient(base, tmp_path / "out", given, **options), expected_gradient(base, frame)
    assert max(float(value.abs().max()) for value in expected.values()) > 1e-2
    for name, value in expected.items():
        assert torch.allclose(found[name].double(), value, atol=1e-5, rtol=1e-3), name


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({}, "margin=m", "no column m; their columns are pair_id"),
        ({"m": ["1"] * 12}, "margin=m", "the column m is String and must hold numbers"),
        ({"p": [1.5] * 12}, "soft_labels=p", "the column p must be between 0 and 1, and is not for the pair "),
        ({"m": [float("nan")] * 12}, "margin=m", "the column m must be a finite number"),
        ({"p": [None] * 11 + [0.5]}, "soft_labels=none", "no column none"),
    ],
)
def test_a_column_of_labels_that_is_none_is_one_sentence(
    base: Path, tmp_path: Path, columns: Any, options: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        reward_train(labelled(**columns), str(base), tmp_path / "out", sets=[*QUICK, options])


def test_pairs_without_a_label_are_counted(base: Path, tmp_path: Path) -> None:
    frame = labelled(p=[None, None, *[0.7] * 10])
    done = reward_train(frame, str(base), tmp_path / "out", sets=[*QUICK, "soft_labels=p", "test_share=0"])
    assert (done.facts["pairs"], done.facts["dropped"]) == (10, {"no_label": 2})
