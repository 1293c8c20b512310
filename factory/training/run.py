"""Training, from a table of pairs to a policy folder."""

import json
import time
from collections.abc import Mapping, Sequence
from math import exp
from statistics import fmean
from typing import Any, NamedTuple

import polars as pl
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedTokenizerBase, TrainingArguments

from factory.errors import ConfigError
from factory.identity import digest, model_fingerprint
from factory.models.attention import positions
from factory.models.load import load_tokenizer
from factory.models.sequences import plan_for, same_in_training, unwrapped
from factory.models.shared_prompt import kernel
from factory.store import write_json
from factory.training import TrainingJob, checkpoints
from factory.training.activation_checkpointing import activation_checkpointing
from factory.training.arguments import arguments, quiet_and_seeded
from factory.training.batches import steps, thinned
from factory.training.data import Encoding, PairReader, TrainingExample, encode
from factory.training.methods import Method, method_of
from factory.training.passing import deciding, passing
from factory.training.policy import dropout, require_even, require_known, save, trainable
from factory.training.policy_trainer import FirstStep, Objective, PolicyTrainer, Watch
from factory.training.reference import complete, store_for
from factory.training.stats import MetricsFile

_UNLIMITED = 10**9


class TrainReport(NamedTuple):
    """What came of a training; as a mapping, the facts of its stage."""

    policy: str
    """Name of the policy folder in `out`."""
    fingerprint: str
    pairs: int
    dropped: dict[str, int]
    """Pairs left out, by reason."""
    reasoning_stripped: int
    """Replies trained without the reasoning in them, which the chat template does not write."""
    steps: int
    resumed_at: int
    """Optimiser steps that an earlier, killed process had done."""
    layout: str
    loss: float | None
    """Mean loss of the last step."""
    on_policy: dict[str, float]
    """e^{pi~} of the replies under the starting policy, mean over pairs (figure 4(b) of the paper); empty for SimPO."""
    seconds: float


def train(job: TrainingJob) -> TrainReport:
    """Train the policy on the pairs and leave `out`/policy, `out`/metrics.jsonl and, where measured, the reference.

    With `iteration` the `logp_*` columns of the pairs are this policy's and serve as the reference; with None (offline)
    only where the pair's `policy` column names this policy. What is missing is measured once and kept.
    When `out` holds a checkpoint of the same training, it goes on from there to the same weights. Under `accelerate
    launch` every process makes the same call. Raises ConfigError when no pair can be used, TrainingError when the loss
    is lost.
    """
    policy, out, config, seed = job.policy, job.out, job.config, job.seed
    began = time.monotonic()
    with quiet_and_seeded(seed):
        args = arguments(config, out, seed)
        tokenizer = load_tokenizer(policy)
        model = trainable(policy, config.lora)
        method = method_of(config)
        passed = passing(job.pairs, config)
        found = encode(_with_trusted_scores(passed.pairs, job), _reader(method, model, tokenizer, job))
        found = found._replace(dropped={**found.dropped, **passed.dropped})
        require_known(model, tokenizer, found.examples)
        require_even(model, max(item.longest for example in found.examples for item in example.items))
        with dropout(model, config.dropout):
            trainer = _trainer(model, args, found.examples, job, method, found.dropped)
            resumed = _optimise(trainer, found.examples, job)
        _save(trainer, tokenizer, found, job)
        # Process 0 alone reads and, once all have the report, moves what lies in `out`.
        report = _report(trainer, found, job, resumed) if trainer.is_world_process_zero() else None
        (shared,) = broadcast_object_list([report])
        trainer.accelerator.wait_for_everyone()
    seconds = round(time.monotonic() - began, 2)
    return TrainReport(*shared)._replace(seconds=seconds)


def _report(trainer: PolicyTrainer, found: Encoding, job: TrainingJob, resumed: int) -> TrainReport:
    line = MetricsFile(job.out / "metrics.jsonl").read()[-1:]
    return TrainReport(
        policy="policy",
        fingerprint=json.loads((job.out / "policy" / "policy.json").read_text("utf-8"))["fingerprint"],
        pairs=len(found.examples),
        dropped=found.dropped,
        reasoning_stripped=found.stripped,
        steps=trainer.state.global_step,
        resumed_at=resumed,
        layout=trainer.objective.plan.layout,
        loss=line[0]["loss"] if line else None,
        on_policy=_on_policy(found.examples, trainer.reference, trainer.objective.method),
        seconds=0.0,
    )


def _with_trusted_scores(pairs: pl.DataFrame, job: TrainingJob) -> pl.DataFrame:
    """`pairs` with `logp_*` only where this policy measured them."""
    if job.iteration is not None:
        return pairs
    scores = [name for name in pairs.columns if name.startswith("logp_")]
    # Scores of another policy are numbers like any others: as a reference they would train towards that policy,
    # unnoticed.
    own = pl.col("policy") == job.policy.name if "policy" in pairs.columns else pl.lit(False)
    return pairs.with_columns(pl.when(own).then(pl.col(name)).alias(name) for name in scores)


def _reader(method: Method, model: Any, tokenizer: PreTrainedTokenizerBase, job: TrainingJob) -> PairReader:
    limits = [limit for limit in (job.config.max_length, positions(unwrapped(model).config)) if limit is not None]
    return PairReader(method.needed, tokenizer, job.policy.fold_system, min(limits, default=_UNLIMITED))


def _trainer(
    model: Any,
    args: TrainingArguments,
    examples: Sequence[TrainingExample],
    job: TrainingJob,
    method: Method,
    dropped: Mapping[str, int],
) -> PolicyTrainer:
    config = job.config
    # As process 0 finds it: under FSDP the others may have no weights yet.
    plan, steady = broadcast_object_list([plan_for(model, config.layout), config.dropout or same_in_training(model)])
    if not steady:
        raise ConfigError(
            f"training.dropout: {type(unwrapped(model)).__name__} goes on drawing at random in training mode where its "
            "configuration names no dropout; set it to true to train so all the same"
        )
    keeping = activation_checkpointing(model, config.gradient_checkpointing, args.device.type, args.world_size)
    made = steps(examples, job.seed, config.epochs, config.batch_pairs)
    made = thinned(made, job.seed, 1.0 if method.form.steering is None else config.steering_share)
    watch = Watch(
        metrics=MetricsFile(job.out / "metrics.jsonl"),
        constant={"dropped": sum(dropped.values())},
        advance=lambda tokens: job.progress.advance(1, tokens),
    )
    most = min(config.micro_batch_tokens, keeping.tokens or config.micro_batch_tokens)
    objective = Objective(method, plan, config.logits_chunk, most, keeping)
    args.warmup_steps = int(config.warmup_ratio * len(made))  # rounded down, so that a short training wastes no step
    return PolicyTrainer(model, args, made, objective, watch)


def _optimise(trainer: PolicyTrainer, examples: Sequence[TrainingExample], job: TrainingJob) -> int:
    """Fill in the reference and run all steps, from the last checkpoint where there is one; returns where it began."""
    if trainer.is_world_process_zero():
        checkpoints.claim(job.out, _identity(examples, job))
    trainer.accelerator.wait_for_everyone()
    begun = checkpoints.last(job.out)
    # Inside `train`, because only there is the model wrapped, and before a step, because it must be the starting
    # policy.
    trainer.add_callback(FirstStep(lambda: _fill_reference(trainer, examples, job)))
    job.progress.start("train", len(trainer.train_dataset), "steps", done=begun.step)
    core = unwrapped(trainer.model)
    with kernel(core, trainer.objective.plan.layout == "flat"):
        trainer.train(resume_from_checkpoint=begun.folder)
    job.progress.finish()
    return begun.step


def _fill_reference(trainer: PolicyTrainer, examples: Sequence[TrainingExample], job: TrainingJob) -> None:
    method = trainer.objective.method
    if not method.loss.needs_reference:
        return
    store = store_for(job.out, job.policy.identity, method.needed)
    trainer.accelerator.wait_for_everyone()
    trainer.reference = complete(examples, store, trainer.measure, write=trainer.is_world_process_zero())


def _identity(examples: Sequence[TrainingExample], job: TrainingJob) -> str:
    """Names this training: a checkpoint of another one must not be gone on from."""
    return digest([job.policy.identity, deciding(job.config), job.seed, sorted(example.key for example in examples)])


def _save(trainer: PolicyTrainer, tokenizer: PreTrainedTokenizerBase, found: Encoding, job: TrainingJob) -> None:
    folder = job.out / "policy"
    save(trainer, tokenizer, folder, job.policy, job.config.lora)
    if trainer.is_world_process_zero():
        data = digest(sorted(example.key for example in found.examples))
        facts = {
            "dropped": found.dropped,
            "reasoning_stripped": found.stripped,
            "fingerprint": model_fingerprint(folder),
        }
        write_json(folder / "policy.json", {**job.record(data, len(found.examples)), **facts})
        checkpoints.clear(job.out)


def _on_policy(
    examples: Sequence[TrainingExample], reference: Mapping[str, tuple[float, ...]], method: Method
) -> dict[str, float]:
    if not reference:
        return {}
    columns = zip(*(reference[example.key] for example in examples), strict=True)
    return {
        reply: fmean(map(exp, values))
        for (reply, view), values in zip(method.needed, columns, strict=True)
        if view == "plain"
    }


def stage(job: TrainingJob) -> dict[str, Any]:
    """`train`, returning its report as the plain facts that a stage's manifest holds."""
    return train(job)._asdict()
