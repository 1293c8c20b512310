"""The next policy, trained on the pairs of an iteration."""

from typing import Any

from factory import training
from factory.identity import draw
from factory.line.steps import Facts, Generated, Steps
from factory.models.ref import ModelRef
from factory.store import Workspace


def next_policy(steps: Steps, made: Generated, policy: ModelRef, iteration: int) -> ModelRef:
    """The policy of the iteration after this one: the same where nothing is trained, or there are no pairs."""
    if not steps.has("train"):
        return policy
    if not made.scores.facts["rows"]:
        steps.folder.progress.say(f"iterations/{iteration}/train: no pairs to train on, the policy stays as it is")
        return policy
    stage = steps.make("train", made, policy, iteration)
    label = f"{steps.config.policy.model}@{steps.config.training.method}-{iteration}"
    return policy._replace(name=str(stage.folder / "policy"), fingerprint=str(stage.facts["fingerprint"]), label=label)


def inputs(steps: Steps, made: Generated, policy: ModelRef, iteration: int) -> Facts:
    """What decides the weights is what the loss reads: numbers that a filter alone reads may be measured later."""
    scored = steps.scorer_block()
    return {
        "pairs": made.triples.digest,
        "scored": scored.fingerprint if scored else None,
        "policy": policy.identity,
        "training": steps.config.training.model_dump(mode="json", exclude=training.SAME_WEIGHTS),
        "seed": steps.seed,
    }


def make(steps: Steps, work: Workspace, made: Generated, policy: ModelRef, iteration: int) -> dict[str, Any]:
    """The engine is closed first: training needs its memory."""
    steps.engines.close()
    config = steps.config.training
    return training.trainer(steps.config.engine, config)(
        made.scores.read(),
        policy,
        work.path,
        config,
        seed=draw(steps.seed, "train", iteration),
        iteration=iteration,
        progress=steps.folder.progress,
    )
