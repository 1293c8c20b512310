"""Rounds beyond the iterations: made one after another until `prompts.target_pairs` pairs pass the filters."""

from collections.abc import Sequence
from typing import NamedTuple

from factory.line.steps import Generated, Steps
from factory.stages.target import Spent, TargetProgress
from factory.store import Stage


class NextRound(NamedTuple):
    """Whether there is another round to make."""

    round: int | None
    """Its number, counted on from the iterations."""
    why: str | None = None
    """Where a target is set and there is none: why."""


def next_round(steps: Steps, prompts: Stage, made: Sequence[Generated]) -> NextRound:
    """Whether the target asks for another round, found by filtering all that was `made` so far."""
    config, rounds, iterations = steps.config.prompts, len(made), steps.config.run.iterations
    if config.target_pairs is None:
        return NextRound(None)

    passed = steps.make("passed", made, rounds).facts
    portions = prompts.read()["portion"]
    asked = [stage.used for one in made for stage in (*one.made.before, one.triples)]
    why = TargetProgress(
        target=config.target_pairs,
        passed=passed["rows"],
        without_gain=rounds - max(passed["latest"], iterations),
        prompts=int((portions <= rounds).sum()),
        next_prompts=int((portions == rounds + 1).sum()),
        spent=Spent.by([*asked, passed["judging"]]),
    ).reason_to_stop(config.budget)
    if why:
        steps.folder.progress.say(why)
    return NextRound(None if why else rounds + 1, why)
