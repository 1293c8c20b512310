"""The log-probabilities of the drafts that the loss of the data generator reads, by the policy that wrote them."""

from collections.abc import Iterator

from factory.line.steps import Facts, Steps
from factory.line.steps.scores import measured, what_decides
from factory.models.ref import ModelRef
from factory.schema import Split
from factory.stages.score import read_by
from factory.store import Stage
from factory.store.journal import Journal


def inputs(steps: Steps, drafts: Stage, policy: ModelRef, iteration: int) -> Facts:
    """What changes the numbers, and which of them are measured."""
    return what_decides(steps, drafts, policy, read_by(steps.config.training.of_generator, ()))


def make(steps: Steps, journal: Journal, drafts: Stage, policy: ModelRef, iteration: int) -> Iterator[Split]:
    """Part by part."""
    wanted = read_by(steps.config.training.of_generator, ())
    return measured(steps, journal, drafts, policy, f"scores {iteration}", wanted)
