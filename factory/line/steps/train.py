"""The next policy, trained on the pairs of an iteration."""

from pathlib import Path
from typing import Any

from factory import training
from factory.config import Training
from factory.identity import draw
from factory.line.steps import Facts, Generated, Steps
from factory.line.tracking import kept_beside
from factory.models.ref import ModelRef
from factory.store import Stage, Workspace
from factory.training import TrainingJob
from factory.training.passing import deciding


def next_policy(steps: Steps, made: Generated, policy: ModelRef, iteration: int) -> ModelRef:
    """The policy of the iteration after this one: the same where nothing is trained, or there are no pairs."""
    if not steps.has("train"):
        return policy
    if not made.scores.facts["rows"]:
        steps.folder.progress.say(f"iterations/{iteration}/train: no pairs to train on, the policy stays as it is")
        return policy
    stage = steps.make("train", made.triples, made.scores, policy, iteration)
    return trained(steps, policy, stage, stage.folder, f"{steps.config.training.method}-{iteration}")


def inputs(steps: Steps, triples: Stage, scores: Stage, policy: ModelRef, iteration: int) -> Facts:
    """What decides the policy's weights."""
    return what_decides(steps, triples, policy, steps.config.training.of_policy)


def make(
    steps: Steps, work: Workspace, triples: Stage, scores: Stage, policy: ModelRef, iteration: int
) -> dict[str, Any]:
    """Weights, and how training went."""
    return train(steps, work.path, scores, policy, iteration, steps.config.training.of_policy)


def what_decides(steps: Steps, pairs: Stage, policy: ModelRef, config: Training) -> Facts:
    """What decides the weights is what the loss reads: numbers that a filter alone reads may be measured later."""
    scored = steps.scorer_block()
    return {
        "pairs": pairs.digest,
        "scored": scored.fingerprint if scored else None,
        "policy": policy.identity,
        "training": deciding(config),
        "seed": steps.seed,
    }


def train(steps: Steps, out: Path, scores: Stage, policy: ModelRef, iteration: int, config: Training) -> dict[str, Any]:
    """Train `policy` on scored pairs into `out`. The engine is closed first: training needs its memory."""
    steps.engines.close()
    # Here, not in the configuration: whom training tells is no input of it, and must not make it anew.
    config = config.model_copy(update={"report_to": config.report_to or steps.config.run.report_to})
    with kept_beside(steps.folder, config.report_to, iteration):
        seed = draw(steps.seed, "train", iteration)
        job = TrainingJob(scores.read(), policy, out, config, seed, iteration, steps.folder.progress)
        return training.trainer(steps.config.engine, config)(job)


def trained(steps: Steps, policy: ModelRef, stage: Stage, folder: Path, name: str) -> ModelRef:
    """What was made of `policy`, whose folder lies in `folder`; tables call it the run's policy `@name`."""
    label = f"{steps.config.policy.model}@{name}"
    return policy._replace(name=str(folder / "policy"), fingerprint=str(stage.facts["fingerprint"]), label=label)
