"""The log-probabilities that are read, by the policy that wrote the replies: training's reference."""

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
    block, wanted = steps.scorer_block(), read_by(steps.config.training, steps.filters)
    engine = block.fingerprint if block else None
    return {"triples": triples.digest, "policy": policy.identity, "engine": engine, "measured": wanted}


def make(steps: Steps, journal: Journal, triples: Stage, policy: ModelRef, iteration: int) -> Iterator[Split]:
    """Part by part; nulls where nothing measures."""
    block, wanted = steps.scorer_block(), read_by(steps.config.training, steps.filters)
    scorer = steps.engines.scorer(block, policy, journal, f"scores {iteration}") if block else None
    for part in parts(triples.scan()):
        yield Split(score(part, scorer, wanted))
