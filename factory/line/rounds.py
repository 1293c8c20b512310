"""Rounds beyond the iterations: made one after another until `prompts.target_pairs` pairs pass the filters."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from factory.config.prompts import Budget
from factory.line.steps import Generated, Steps
from factory.store import Stage

ROUNDS_WITHOUT_GAIN = 3
"""So many further rounds in a row without a pair that passes say that more of them will not help."""


class Spent(NamedTuple):
    """What askers used in all."""

    requests: int = 0
    tokens: int = 0
    cost: float = 0.0

    @classmethod
    def by(cls, stages: Iterable[Mapping[str, Any]]) -> "Spent":
        """The sum over what stages used, each by asker as `Stage.used`."""
        # From manifests, not counted on the way: a run that was killed has used what its stages record, too.
        used = [asker for stage in stages for asker in stage.values()]
        return cls(
            sum(asker["requests"] for asker in used),
            sum(asker["prompt_tokens"] + asker["completion_tokens"] for asker in used),
            sum(asker["cost"] for asker in used),
        )


class TargetProgress(NamedTuple):
    """Where a run stands after some rounds, its iterations among them."""

    target: int
    passed: int
    """Pairs that pass the filters so far."""
    without_gain: int
    """Further rounds since the last one with a pair that passes."""
    prompts: int
    """Prompts used so far."""
    next_prompts: int
    """Prompts of the round that would come next; 0 when they have run out."""
    spent: Spent

    def reason_to_stop(self, budget: Budget) -> str | None:
        """Why no further round is made, in one sentence; None where one is."""
        so_far = f"{self.passed:,} of {self.target:,} pairs pass after {self.prompts:,} prompts"
        if self.passed >= self.target:
            return f"target_pairs is reached: {so_far}"
        if not self.next_prompts:
            return f"target_pairs is not reached, the prompts have run out: {so_far}; give more prompts"
        # Going by the mean per prompt so far: a round that would go over is not begun, since half a round is of no use.
        for name, used in self.spent._asdict().items():
            most = getattr(budget, name)
            further = used / max(self.prompts, 1) * self.next_prompts
            if most is not None and used + further > most:
                used_up = f"{used:,.10g} of {most:,.10g} {name} are used and the next round takes about {further:,.3g}"
                return f"target_pairs is not reached, the budget is: {so_far}, {used_up}; raise prompts.budget.{name}"
        if self.without_gain >= ROUNDS_WITHOUT_GAIN:
            return (
                f"target_pairs is not reached: {so_far}, none of them from the last {self.without_gain} rounds; "
                "see the funnel for the filter that drops them"
            )
        return None


class NextRound(NamedTuple):
    """Whether there is another round to make."""

    round: int | None
    """Its number, counted on from the iterations."""
    why: str | None = None
    """Where a target is set and there is none: why."""


def next_round(steps: Steps, prompts: Stage, made: Sequence[Generated]) -> NextRound:
    """Whether the target asks for another round, found by filtering all that was `made` so far."""
    # Of what was made, not of a counter: a run that goes on has its rounds on disk.
    config, rounds, iterations = steps.config.prompts, len(made), steps.config.run.iterations
    if config.target_pairs is None:
        return NextRound(None)

    passed = steps.make("passed", made, rounds).facts
    # Portions are numbered as rounds are: those up to `rounds` are used, the next one's are the next round's.
    portions = prompts.read()["portion"]
    # Judging over all rounds stands in `passed`: the filter's own manifest is replaced with each round.
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
