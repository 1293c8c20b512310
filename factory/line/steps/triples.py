"""The three replies to each prompt of an iteration, as pairs."""

from collections.abc import Iterator

from factory.line.steps import Facts, Steps
from factory.models.ref import ModelRef
from factory.schema import Split
from factory.stages.parts import beside, of_iteration
from factory.stages.triples import triples
from factory.store import Stage
from factory.store.journal import Journal


def inputs(steps: Steps, prompts: Stage, contrast: Stage, policy: ModelRef, iteration: int) -> Facts:
    """What changes the replies."""
    return {
        "prompts": prompts.digest,
        "contrast": contrast.digest,
        "sampling": steps.config.sampling.model_dump(mode="json"),
        "method": steps.config.training.method,
        **steps.asked(policy, iteration),
    }


def make(
    steps: Steps, journal: Journal, prompts: Stage, contrast: Stage, policy: ModelRef, iteration: int
) -> Iterator[Split]:
    """Part by part."""
    engine = steps.generator(policy, journal, f"replies {iteration}")
    made = {"method": steps.config.training.method, "policy": policy.called}
    for part, steered in beside(of_iteration(prompts.scan(), iteration), contrast.scan()):
        yield triples(part, steered, engine, steps.config.sampling, seed=steps.seed, iteration=iteration, **made)
