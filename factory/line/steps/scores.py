"""The log-probabilities that are read, by the policy that is trained on the pairs: training's reference."""

from collections.abc import Iterator

from factory.line.steps import Facts, Steps
from factory.models.ref import ModelRef
from factory.schema import Split
from factory.stages.parts import parts
from factory.stages.score import read_by, score
from factory.store import Stage
from factory.store.journal import Journal


def inputs(steps: Steps, triples: Stage, policy: ModelRef, iteration: int) -> Facts:
    """What changes the numbers, and which of them are measured."""
    return what_decides(steps, triples, policy, read_by(steps.config.training.of_policy, steps.filters))


def make(steps: Steps, journal: Journal, triples: Stage, policy: ModelRef, iteration: int) -> Iterator[Split]:
    """Part by part; nulls where nothing measures."""
    wanted = read_by(steps.config.training.of_policy, steps.filters)
    return measured(steps, journal, triples, policy, f"scores {iteration}", wanted)


def what_decides(steps: Steps, pairs: Stage, policy: ModelRef, wanted: tuple[str, ...]) -> Facts:
    """The pairs, the model, and which numbers are `wanted`."""
    block = steps.scorer_block()
    engine = block.fingerprint if block else None
    return {"triples": pairs.digest, "policy": policy.identity, "engine": engine, "measured": wanted}


def measured(
    steps: Steps, journal: Journal, pairs: Stage, policy: ModelRef, asker: str, wanted: tuple[str, ...]
) -> Iterator[Split]:
    """The pairs with the numbers that are `wanted`."""
    block = steps.scorer_block()
    scorer = steps.engines.scorer(block, policy, journal, asker) if block else None
    for part in parts(pairs.scan()):
        yield Split(score(part, scorer, wanted))
