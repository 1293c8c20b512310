"""The feature of each prompt of an iteration, named by the policy and drawn."""

from collections.abc import Iterator

from factory.line.steps import Facts, Steps
from factory.models.ref import ModelRef
from factory.schema import Split
from factory.stages.features import allocate
from factory.stages.parts import of_iteration, parts
from factory.store import Stage
from factory.store.journal import Journal


def inputs(steps: Steps, prompts: Stage, policy: ModelRef, iteration: int) -> Facts:
    """What changes which features are drawn."""
    return {"prompts": prompts.digest, **steps.steered(), **steps.asked(policy, iteration)}


def make(steps: Steps, journal: Journal, prompts: Stage, policy: ModelRef, iteration: int) -> Iterator[Split]:
    """Part by part."""
    engine = steps.generator(policy, journal, f"features {iteration}")
    for part in parts(of_iteration(prompts.scan(), iteration)):
        yield Split(allocate(part, engine, steps.principles, steps.seed, iteration, steps.config.principles))
