"""The two system messages of each prompt of an iteration."""

from collections.abc import Iterator

from factory.line.steps import Facts, Steps
from factory.models.ref import ModelRef
from factory.schema import Split
from factory.stages.contrast import contrast
from factory.stages.parts import beside, of_iteration
from factory.store import Stage
from factory.store.journal import Journal


def inputs(steps: Steps, prompts: Stage, features: Stage, policy: ModelRef, iteration: int) -> Facts:
    """What changes the messages."""
    read = {"prompts": prompts.digest, "features": features.digest}
    return {**read, **steps.steered(), **steps.asked(policy, iteration)}


def make(
    steps: Steps, journal: Journal, prompts: Stage, features: Stage, policy: ModelRef, iteration: int
) -> Iterator[Split]:
    """Part by part; the policy is asked only where it writes the principles."""
    config = steps.config.principles
    engine = steps.generator(policy, journal, f"principles {iteration}") if config.source == "generated" else None
    for part, named in beside(of_iteration(prompts.scan(), iteration), features.scan()):
        yield Split(contrast(part, named, steps.principles, config, engine, steps.seed, iteration))
