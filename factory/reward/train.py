"""Training a reward model, from tables of pairs to a folder."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from factory.errors import InputError, TrainingError
from factory.identity import digest, model_fingerprint
from factory.models.attention import positions
from factory.models.load import load_reward_model, load_tokenizer
from factory.models.ref import ModelRef
from factory.progress import Progress
from factory.reward.accuracy import tally
from factory.reward.config import SAME_WEIGHTS, RewardScoring, RewardTraining
from factory.reward.data import IN_TEST, Data
from factory.reward.scorer import Conversation, RewardModel
from factory.reward.tokens import ConversationReader, Labels, PairTokens, with_padding
from factory.reward.trainer import PairTrainer, arguments, order
from factory.store import write_json
from factory.training import checkpoints
from factory.training.arguments import quiet_and_seeded
from factory.training.policy import adapter, require_even
from factory.training.policy_trainer import Watch
from factory.training.stats import MetricsFile

MODEL = "model"


class _Job(NamedTuple):
    base: ModelRef
    out: Path
    config: RewardTraining
    seed: int
    progress: Progress


def train(
    data: Data, base: ModelRef, out: Path, config: RewardTraining, *, seed: int, progress: Progress
) -> dict[str, Any]:
    """Train a reward model on `base` and leave it in `out`/model, with `out`/metrics.jsonl; returns its facts.

    When `out` holds a checkpoint of the same training, it goes on from there. Raises InputError when no pair can be
    used, TrainingError when the loss is lost.
    """
    job = _Job(base, out, config, seed, progress)
    began = time.monotonic()
    with quiet_and_seeded(seed):
        tokenizer = load_tokenizer(base)
        # In float32 on the CPU, as a policy is loaded to be trained.
        model = load_reward_model(base, "cpu", torch.float32, new_head=True)
        with_padding(tokenizer, model)
        limits = [limit for limit in (config.max_length, positions(model.config)) if limit is not None]
        labels = Labels(config.margin, config.soft_labels)
        found = ConversationReader(tokenizer).pairs(data.train, min(limits, default=None), labels)
        if not found.pairs:
            why = ", ".join(f"{count} {reason}" for reason, count in found.dropped.items())
            raise InputError(f"no pair can be trained on: {why}; raise max_length, or check the pairs")
        require_even(model, max(pair.length for pair in found.pairs))
        most = config.max_steps * config.batch_pairs if config.max_steps else None
        rows = order(found.pairs, config.epochs, config.batch_pairs, seed, most)
        trainer = _trainer(model, tokenizer, rows, job)
        resumed = _optimise(trainer, found.pairs, job)
        test = _save_and_test(trainer, tokenizer, data.test, job)
    dropped = dict(found.dropped) | ({IN_TEST: data.in_test} if data.in_test else {})
    metrics = MetricsFile(out / "metrics.jsonl").read()[-1:]
    facts = {
        "model": MODEL,
        "base": base.called,
        "pairs": len(found.pairs),
        "dropped": dropped,
        "reasoning_stripped": found.stripped,
        "unread": data.unread,
        "steps": trainer.state.global_step,
        "resumed_at": resumed,
        "loss": metrics[0]["loss"] if metrics else None,
        "test": test,
        "seconds": round(time.monotonic() - began, 2),
    }
    more = {"seed": seed, "config": config.model_dump(mode="json"), "fingerprint": model_fingerprint(out / MODEL)}
    write_json(out / MODEL / "reward.json", {**facts, **more})
    checkpoints.clear(out)
    return facts


def _trainer(model: Any, tokenizer: PreTrainedTokenizerBase, rows: list[PairTokens], job: _Job) -> PairTrainer:
    config = job.config
    columns = {
        "chosen_ids": [row.chosen for row in rows],
        "rejected_ids": [row.rejected for row in rows],
        **({"margin": [row.margin for row in rows]} if config.margin else {}),
        **({"p_chosen": [row.p_chosen for row in rows]} if config.soft_labels else {}),
    }
    args = arguments(config, job.out, job.seed, len(rows))
    # The head is new: an adapter alone would leave it as it was drawn.
    lora = config.lora and adapter(config.lora, "SEQ_CLS", modules_to_save=["score"])
    watch = Watch(MetricsFile(job.out / "metrics.jsonl"), {}, lambda tokens: job.progress.advance(1, tokens))
    return PairTrainer(model, args, Dataset.from_dict(columns), tokenizer, lora, watch)


def _optimise(trainer: PairTrainer, pairs: list[PairTokens], job: _Job) -> int:
    """Run all steps, from the last checkpoint where there is one; returns where it began."""
    settings = job.config.model_dump(mode="json", exclude=SAME_WEIGHTS)
    identity = digest(
        [job.base.identity, settings, job.seed, sorted((pair.pair_id, pair.margin, pair.p_chosen) for pair in pairs)]
    )
    checkpoints.claim(job.out, identity)
    begun = checkpoints.last(job.out)
    job.progress.start("reward train", trainer.args.max_steps, "steps", done=begun.step)
    try:
        trainer.train(resume_from_checkpoint=begun.folder)
    except torch.cuda.OutOfMemoryError as error:
        raise TrainingError("the GPU is out of memory; lower micro_batch_pairs or max_length, or set lora") from error
    job.progress.finish()
    return begun.step


def _save_and_test(
    trainer: PairTrainer, tokenizer: PreTrainedTokenizerBase, test: pl.DataFrame, job: _Job
) -> dict[str, Any] | None:
    # Measured as it is saved, an adapter merged in: that is what will be asked.
    model = trainer.finished().eval()
    model.save_pretrained(job.out / MODEL)
    tokenizer.save_pretrained(job.out / MODEL)
    if test.is_empty():
        return None
    sides = [
        Conversation(row["prompt"], row[side]) for side in ("chosen", "rejected") for row in test.iter_rows(named=True)
    ]
    scoring = RewardScoring(max_length=job.config.max_length)
    rewards = RewardModel(model, tokenizer, scoring).rewards(sides, job.progress)
    scores = [reward.score for reward in rewards]
    prompts = [digest(prompt) for prompt in test["prompt"].to_list()]
    pairs = list(zip(scores[: test.height], scores[test.height :], strict=True))
    return tally(pairs, prompts, job.seed)._asdict()
