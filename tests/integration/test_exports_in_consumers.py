"""What we export is what trainers take: TRL trains two steps on it, rewardbench's own loader reads it."""

import importlib.util
import sys
import types
from pathlib import Path

import datasets
import pandas as pd
import pytest
import torch
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer
from trl.experimental.sdft import SDFTConfig, SDFTTrainer
from trl.experimental.tpo import TPOConfig, TPOTrainer

from factory.config import Export
from factory.exports.destinations.write import export
from tests.pairs import pairs
from tests.tiny import tiny_model_folder, tiny_tokenizer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write an export of 16 prompts and load it."""
    torch.set_num_threads(1)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def load(name: str) -> datasets.DatasetDict:
        export(pairs(16, margin=9.0, tools="hammer"), name, tmp_path / name, Export(test_share=0.3))
        return datasets.load_dataset(str(tmp_path / name), cache_dir=str(tmp_path / "cache"))

    return load


def options(tmp_path: Path) -> dict:
    return {
        "output_dir": str(tmp_path / "run"),
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "report_to": [],
        "use_cpu": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "bf16": False,
        "disable_tqdm": True,
    }


def test_reward_trainer_takes_rm(exported, tmp_path: Path) -> None:
    found = exported("rm")
    trainer = RewardTrainer(
        model=str(tiny_model_folder(tmp_path / "model")),
        args=RewardConfig(**options(tmp_path), eval_strategy="steps", eval_steps=2),
        processing_class=tiny_tokenizer(),
        train_dataset=found["train"],
        eval_dataset=found["test"],
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2
    assert all(0 < loss < 5 for loss in losses), "a margin of 9 that was read would show here"


@pytest.mark.parametrize("name", ["rm", "dpo"])
def test_dpo_trainer_takes_rm_and_dpo(name: str, exported, tmp_path: Path) -> None:
    found = exported(name)
    trainer = DPOTrainer(
        model=str(tiny_model_folder(tmp_path / "model")),
        args=DPOConfig(**options(tmp_path)),
        processing_class=tiny_tokenizer(),
        train_dataset=found["train"],
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2
    assert losses[0] == pytest.approx(0.6931, abs=0.01), "policy and reference are equal at the first step"


def trained(trainer) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_kto_trainer_takes_kto(exported, tmp_path: Path) -> None:
    found = exported("kto")
    assert found["train"]["label"].count(True) == len(found["train"]) / 2
    trainer = KTOTrainer(
        model=str(tiny_model_folder(tmp_path / "model")),
        args=KTOConfig(**options(tmp_path)),
        processing_class=tiny_tokenizer(),
        train_dataset=found["train"],
    )
    assert len(trained(trainer)) == 2


def test_tpo_trainer_takes_tpo(exported, tmp_path: Path) -> None:
    trainer = TPOTrainer(
        model=str(tiny_model_folder(tmp_path / "model")),
        args=TPOConfig(**options(tmp_path)),
        processing_class=tiny_tokenizer(),
        train_dataset=exported("tpo")["train"],
    )
    assert len(trained(trainer)) == 2


def test_sdft_trainer_tells_its_teacher_the_privileged_context(exported, tmp_path: Path) -> None:
    found = exported("sdft")["train"]
    trainer = SDFTTrainer(
        model=str(tiny_model_folder(tmp_path / "model")),
        args=SDFTConfig(**options(tmp_path) | {"max_steps": 1, "max_completion_length": 4, "num_generations": 1}),
        processing_class=tiny_tokenizer(),
        train_dataset=found,
    )
    told = trainer.teacher_context_builder._compose_teacher_prompt(found[0]["prompt"], found[0]["privileged_context"])
    assert found[0]["privileged_context"] in told[-1]["content"]
    assert len(trained(trainer)) == 1


def test_verl_reward_data_set_takes_verl(exported, tmp_path: Path) -> None:
    """As verl's RMDataset does: texts of Parquet tokenised apart, put one behind the other, cut and padded."""
    exported("verl")
    frame = pd.concat([pd.read_parquet(path) for path in sorted((tmp_path / "verl/data").glob("train-*"))])
    tokenizer, longest = tiny_tokenizer(), 64
    for row in frame.to_dict("records"):
        prompt, chosen, rejected = (tokenizer(row[name])["input_ids"] for name in ("prompt", "chosen", "rejected"))
        sides = [(prompt + reply + [tokenizer.eos_token_id])[:longest] for reply in (chosen, rejected)]
        batch = torch.tensor([side + [0] * (longest - len(side)) for side in sides])
        assert batch.shape == (2, longest)
        assert (batch[0] != batch[1]).any()


def rewardbench_utils(monkeypatch: pytest.MonkeyPatch):
    """rewardbench's utils.py as released, without its model zoo, which wants another transformers."""
    found = importlib.util.find_spec("rewardbench")
    if found is None or importlib.util.find_spec("fastchat") is None:
        pytest.skip("rewardbench is not installed: pip install --no-deps rewardbench==0.1.4 fschat")
    package, zoo = types.ModuleType("rewardbench"), types.ModuleType("rewardbench.models")
    package.__path__ = list(found.submodule_search_locations or [])
    zoo.REWARD_MODEL_CONFIG = {}
    monkeypatch.setitem(sys.modules, "rewardbench", package)
    monkeypatch.setitem(sys.modules, "rewardbench.models", zoo)
    monkeypatch.delitem(sys.modules, "rewardbench.utils", raising=False)
    return importlib.import_module("rewardbench.utils")


def test_rewardbench_loader_takes_rm(exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    utils = rewardbench_utils(monkeypatch)
    found = exported("rm")["train"]
    loaded = utils.load_and_process_dataset(str(tmp_path / "rm"), split="train", tokenizer=tiny_tokenizer())
    assert len(loaded) == len(found)
    expected = tiny_tokenizer().apply_chat_template(found[0]["chosen"], tokenize=False)
    assert loaded[0]["text_chosen"] == expected
    assert loaded[0]["text_rejected"] != expected
