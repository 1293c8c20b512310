"""Which log-probabilities an objective is made of: a table without tensors, for whoever plans what to measure."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from factory.config import Training
from factory.schema import REPLIES, VIEWS


class Conditional(NamedTuple):
    """A reply under a view: one of the log-probabilities that the loss is made of."""

    reply: str
    view: str


PLAIN = (Conditional("chosen", "plain"), Conditional("rejected", "plain"))
"""What every objective compares."""

WEIGHED: Mapping[str, tuple[Conditional, Conditional]] = {
    "w": PLAIN,
    "w_prime": (Conditional("original", "good"), Conditional("original", "bad")),
}
"""What W (eq. 5) and W' (eq. 6) are made of; alpha is the share of the first."""

UNDER_BAD = {"original": "original", "naive": "rejected"}
"""The reply that G prefers to y+ under the bad principle: eq. 3 and eq. 2."""


PRESETS: Mapping[str, frozenset[str]] = {
    "sso": frozenset({"steering", "weight"}),
    "sso_no_w": frozenset({"steering"}),
    "sso_no_g": frozenset({"weight"}),
    "pbaa": frozenset(),
    "annotated": frozenset(),
}
"""Which parts of eq. 1 a method has beside the plain pair's loss."""


class ObjectiveForm(NamedTuple):
    """The form of G and of the weight that an objective has; None where it has none."""

    steering: Literal["original", "naive"] | None
    weight: Literal["w", "w_prime"] | None

    @classmethod
    def of(cls, config: Training) -> "ObjectiveForm":
        """Those of a training block. `gamma` 0 leaves G out altogether, conditionals included."""
        parts = PRESETS[config.method]
        return cls(
            config.steering if "steering" in parts and config.gamma else None,
            config.weight if "weight" in parts else None,
        )

    @property
    def needed(self) -> tuple[Conditional, ...]:
        """The conditionals that are read, view by view and reply by reply in the order of the schema."""
        wanted = set(PLAIN)
        if self.steering is not None:
            wanted |= {Conditional("chosen", "good"), Conditional("rejected", "good"), Conditional("chosen", "bad")}
            wanted.add(Conditional(UNDER_BAD[self.steering], "bad"))
        if self.weight is not None:
            wanted |= set(WEIGHED[self.weight])
        return tuple(Conditional(r, v) for v in VIEWS for r in REPLIES if (r, v) in wanted)
