"""TRL's RewardTrainer, fed with tokens that are ready and in an order that is laid out beforehand."""

import random
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler, SequentialSampler
from transformers import PreTrainedTokenizerBase, PrinterCallback

from factory.errors import ConfigError, MissingExtraError, TrainingError
from factory.identity import draw
from factory.models.quiet import quiet_peft
from factory.reward.config import RewardTraining
from factory.reward.tokens import PairTokens
from factory.training.arguments import loop
from factory.training.policy_trainer import LastStep, Watch

try:
    from trl import RewardConfig, RewardTrainer
    from trl.trainer.reward_trainer import DataCollatorForPreference
except ImportError as missing:
    raise MissingExtraError("reward", "trl") from missing

_POOL = 16
"""Optimiser steps' worth of pairs that are sorted by length together."""
_LOGGED = ("loss", "accuracy", "margin", "mean_reward", "learning_rate", "grad_norm")


def order(pairs: Sequence[PairTokens], epochs: int, batch: int, seed: int, most: int | None = None) -> list[PairTokens]:
    """The pairs of all epochs in the order they are trained on, which seed and pairs decide; at most `most` of them.

    Each epoch is shuffled; within pools of some steps' worth, pairs of like length come into the same step, so that
    little padding is computed, and the steps are shuffled again. A pair comes once per epoch; only the last step of an
    epoch may take in pairs of the next one.
    """
    made: list[PairTokens] = []
    for epoch in range(epochs):
        if most is not None and len(made) >= most:
            break
        rng = random.Random(draw(seed, "reward order", epoch))
        shuffled = sorted(pairs, key=lambda pair: pair.pair_id)
        rng.shuffle(shuffled)
        for start in range(0, len(shuffled), batch * _POOL):
            pool = sorted(shuffled[start : start + batch * _POOL], key=lambda pair: -pair.length)
            steps = [pool[i : i + batch] for i in range(0, len(pool), batch)]
            whole = [step for step in steps if len(step) == batch]
            rng.shuffle(whole)
            # A short step last, so that those before it are cut where the trainer cuts them.
            made += [pair for step in [*whole, *(s for s in steps if len(s) < batch)] for pair in step]
    return made[:most]


def arguments(config: RewardTraining, out: Path, seed: int, rows: int) -> RewardConfig:
    """Arguments of TRL's trainer for `rows` rows in all, `trainer_options` among them.

    Raises ConfigError on what they refuse.
    """
    micro = max(size for size in range(1, config.micro_batch_pairs + 1) if config.batch_pairs % size == 0)
    rate = config.learning_rate or (1e-4 if config.lora else 1e-5)
    steps = ceil(rows / config.batch_pairs)
    options: dict[str, Any] = {
        **loop(config, out, seed),
        "max_steps": steps,
        "warmup_steps": int(config.warmup_ratio * steps),  # rounded down, so that a short training wastes no step
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": config.batch_pairs // micro,
        "learning_rate": rate,
        "center_rewards_coefficient": config.center_rewards_coefficient,
        "max_length": None,  # too long pairs are dropped, and counted, before
        **_checkpointing(config.gradient_checkpointing),
        **config.trainer_options,
    }
    try:
        return RewardConfig(**options)
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"reward training: {error}") from error


def _checkpointing(wanted: bool) -> dict[str, Any]:
    """Under its present name; transformers before 5.20 or so call it gradient_checkpointing. TRL's default is on."""
    known = RewardConfig.__dataclass_fields__
    names = [name for name in ("activation_checkpointing", "gradient_checkpointing") if name in known]
    return dict.fromkeys(names, wanted)


class PairTrainer(RewardTrainer):
    """Trains on the rows in their order; says nothing to anybody but `watch`."""

    def __init__(
        self,
        model: Any,
        args: RewardConfig,
        rows: Any,
        tokenizer: PreTrainedTokenizerBase,
        lora: Any,
        watch: Watch,
    ) -> None:
        args._n_gpu = min(args.n_gpu, 1)  # never torch's DataParallel
        try:
            with quiet_peft():
                super().__init__(
                    model=model,
                    args=args,
                    train_dataset=rows,
                    processing_class=tokenizer,
                    peft_config=lora,
                    data_collator=_Collator(tokenizer.pad_token_id, pad_to_multiple_of=args.pad_to_multiple_of),
                )
        except ValueError as error:
            raise ConfigError(f"reward training: {error}") from error
        self.remove_callback(PrinterCallback)
        self.add_callback(LastStep())
        self._watch, self._seen = watch, 0

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """-p log sigmoid(d) - (1 - p) log sigmoid(-d), mean over pairs, with d = r(chosen) - r(rejected) - m.

        TRL's own loss is -log sigmoid(d); what is missing to it is (1 - p) d.
        """
        # Taken out, as TRL hands all inputs to the model.
        p_chosen = inputs.pop("p_chosen", None)
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if p_chosen is not None:
            chosen, rejected = torch.chunk(outputs.logits.squeeze(-1), chunks=2)
            loss = loss + ((1 - p_chosen) * (chosen - rejected - inputs.get("margin", 0.0))).mean()
        return (loss, outputs) if return_outputs else loss

    def finished(self) -> Any:
        """The plain model, an adapter merged in."""
        model = self.accelerator.unwrap_model(self.model)
        merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
        merged.config.use_cache = True
        return merged

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write the step's line. TrainingError when the loss is no number."""
        super().log(logs, start_time)
        if "loss" not in logs:
            return
        if not torch.isfinite(torch.tensor(logs["loss"])):
            raise TrainingError(f"the loss is not a number at step {self.state.global_step}; lower learning_rate")
        line = {name: logs[name] for name in _LOGGED if name in logs}
        self._watch.metrics.append({"step": self.state.global_step, **line})
        # TRL counts from the beginning of the training.
        seen = int(logs.get("num_tokens", self._seen))
        self._watch.advance(seen - self._seen)
        self._seen = seen

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        # TRL's would shuffle what `order` has laid out.
        return SequentialSampler(self.train_dataset if train_dataset is None else train_dataset)

    def create_model_card(self, *_: object, **__: object) -> None:
        """None beside checkpoints: reward.json holds the facts."""

    def _send_telemetry(self) -> None:
        """Nothing is sent."""


class _Collator(DataCollatorForPreference):
    """TRL's, with the probabilities of soft labels."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch of rows."""
        batch: dict[str, Any] = super().torch_call(examples)
        if "p_chosen" in examples[0]:
            batch["p_chosen"] = torch.tensor([example["p_chosen"] for example in examples], dtype=torch.float)
        return batch
