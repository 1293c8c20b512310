"""Methods: eq. 1 as a configuration asks for it, from the log-probabilities of the conditionals it takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from factory.config import Training
from factory.training.conditionals import UNDER_BAD, WEIGHED, Conditional, ObjectiveForm
from factory.training.losses import Loss, base_loss
from factory.training.sso import ComparedPairs, PairLogps, Scored, Terms, combine, weight


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
        """The conditionals the loss reads, view by view."""
        return ObjectiveForm(self.steering, self.weight).needed

    @property
    def views(self) -> tuple[str, ...]:
        """The views of those conditionals, in their order."""
        return tuple(dict.fromkeys(conditional.view for conditional in self.needed))

    @property
    def weighing(self) -> tuple[str, ...]:
        """The views that the weight reads."""
        return () if self.weight is None else tuple(dict.fromkeys(each.view for each in WEIGHED[self.weight]))

    def terms(self, scored: Mapping[Conditional, Scored]) -> Terms:
        """Eq. 1 from the log-probabilities of the needed conditionals."""

        def pair(chosen: str, rejected: str, view: str) -> PairLogps:
            return PairLogps(scored[Conditional(chosen, view)], scored[Conditional(rejected, view)])

        views = ComparedPairs(pair("chosen", "rejected", "plain"))
        if self.steering is not None:
            good, bad = pair("chosen", "rejected", "good"), pair(UNDER_BAD[self.steering], "chosen", "bad")
            views = views._replace(good=good, bad=bad)
        return combine(self.loss, views, self._weight(scored), self.gamma / self.share, self.weight_scope)

    def _weight(self, scored: Mapping[Conditional, Scored]) -> Tensor | None:
        if self.weight is None:
            return None
        first, second = WEIGHED[self.weight]
        return weight(scored[first].mean, scored[second].mean, self.alpha, self.weight_gradient)


def method_of(config: Training) -> Method:
    """The objective of a training block; method `none` is none and must not get here."""
    parts = ObjectiveForm.of(config)
    return Method(
        loss=base_loss(config),
        steering=parts.steering,
        weight=parts.weight,
        gamma=config.gamma,
        alpha=config.alpha,
        weight_gradient=config.weight_gradient,
        weight_scope=config.weight_scope,
        share=config.steering_share,
    )
