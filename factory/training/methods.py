"""Methods as presets: which terms of eq. 1 a configuration asks for, and which conditionals that takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from torch import Tensor

from factory.config import Training
from factory.schema import REPLIES, VIEWS
from factory.training.losses import Loss, base_loss
from factory.training.sso import PairLogps, Scored, Terms, Views, combine, weight


class Conditional(NamedTuple):
    """A reply under a view: one of the log-probabilities that the loss is made of."""

    reply: str
    view: str


WEIGHED: Mapping[str, tuple[Conditional, Conditional]] = {
    "w": (Conditional("chosen", "plain"), Conditional("rejected", "plain")),
    "w_prime": (Conditional("original", "good"), Conditional("original", "bad")),
}
"""What W (eq. 5) and W' (eq. 6) are made of; alpha is the share of the first."""


@dataclass(frozen=True)
class Preset:
    """Which parts of eq. 1 a method has."""

    steering: bool
    weight: bool


PRESETS: Mapping[str, Preset] = {
    "sso": Preset(steering=True, weight=True),
    "sso_no_w": Preset(steering=True, weight=False),
    "sso_no_g": Preset(steering=False, weight=True),
    "pbaa": Preset(steering=False, weight=False),
    "annotated": Preset(steering=False, weight=False),
}


@dataclass(frozen=True)
class Method:
    """The objective a configuration stands for. `gamma` 0 leaves G out altogether, conditionals included."""

    loss: Loss
    steering: Literal["original", "naive"] | None
    weight: Literal["w", "w_prime"] | None
    gamma: float
    alpha: float
    weight_gradient: bool
    weight_scope: Literal["all", "steering"]
    share: float = 1.0
    """Of how many pairs a step computes G; it counts 1/share times there, since eq. 1 is linear in it."""

    @property
    def undrawn(self) -> "Method":
        """The objective of a pair whose steered views are left out."""
        return replace(self, steering=None)

    @property
    def needed(self) -> tuple[Conditional, ...]:
        """The conditionals the loss reads, view by view and reply by reply in the order of the schema."""
        wanted = {Conditional("chosen", "plain"), Conditional("rejected", "plain")}
        if self.steering is not None:
            wanted |= {Conditional("chosen", "good"), Conditional("rejected", "good"), Conditional("chosen", "bad")}
            wanted.add(Conditional(self._preferred_under_bad, "bad"))
        if self.weight is not None:
            wanted |= set(WEIGHED[self.weight])
        return tuple(Conditional(r, v) for v in VIEWS for r in REPLIES if (r, v) in wanted)

    @property
    def _preferred_under_bad(self) -> str:
        return "original" if self.steering == "original" else "rejected"

    def terms(self, scored: Mapping[Conditional, Scored]) -> Terms:
        """Eq. 1 from the log-probabilities of the needed conditionals."""

        def pair(chosen: str, rejected: str, view: str) -> PairLogps:
            return PairLogps(scored[Conditional(chosen, view)], scored[Conditional(rejected, view)])

        views = Views(pair("chosen", "rejected", "plain"))
        if self.steering is not None:
            good, bad = pair("chosen", "rejected", "good"), pair(self._preferred_under_bad, "chosen", "bad")
            views = views._replace(good=good, bad=bad)
        return combine(self.loss, views, self._weight(scored), self.gamma / self.share, self.weight_scope)

    def _weight(self, scored: Mapping[Conditional, Scored]) -> Tensor | None:
        if self.weight is None:
            return None
        first, second = WEIGHED[self.weight]
        return weight(scored[first].mean, scored[second].mean, self.alpha, self.weight_gradient)


def method_of(config: Training) -> Method:
    """The objective of a training block; method `none` is none and must not get here."""
    preset = PRESETS[config.method]
    return Method(
        loss=base_loss(config),
        steering=config.steering if preset.steering and config.gamma else None,
        weight=config.weight if preset.weight else None,
        gamma=config.gamma,
        alpha=config.alpha,
        weight_gradient=config.weight_gradient,
        weight_scope=config.weight_scope,
        share=config.steering_share,
    )
