"""Methods: eq. 1 as a configuration asks for it, from the log-probabilities of the conditionals it takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from factory.config import Training
from factory.config.training import LOSSES
from factory.training.conditionals import UNDER_BAD, WEIGHED, Conditional, ObjectiveForm
from factory.training.losses import Loss
from factory.training.sso import ComparedPairs, PairLogps, Scored, Terms, combine, weight


@dataclass(frozen=True)
class Method:
    """The objective that a configuration stands for."""

    config: Training
    loss: Loss
    form: ObjectiveForm

    @property
    def undrawn(self) -> "Method":
        """The objective of a pair whose steered views are left out."""
        return replace(self, form=self.form._replace(steering=None))

    @property
    def needed(self) -> tuple[Conditional, ...]:
        """The conditionals the loss reads, view by view."""
        return self.form.needed

    @property
    def views(self) -> tuple[str, ...]:
        """The views of those conditionals, in their order."""
        return tuple(dict.fromkeys(conditional.view for conditional in self.needed))

    @property
    def weighing(self) -> tuple[str, ...]:
        """The views that the weight reads."""
        weight = self.form.weight
        return () if weight is None else tuple(dict.fromkeys(each.view for each in WEIGHED[weight]))

    def terms(self, scored: Mapping[Conditional, Scored]) -> Terms:
        """Eq. 1 from the log-probabilities of the needed conditionals."""

        def pair(chosen: str, rejected: str, view: str) -> PairLogps:
            return PairLogps(scored[Conditional(chosen, view)], scored[Conditional(rejected, view)])

        views = ComparedPairs(pair("chosen", "rejected", "plain"))
        if self.form.steering is not None:
            good, bad = pair("chosen", "rejected", "good"), pair(UNDER_BAD[self.form.steering], "chosen", "bad")
            views = views._replace(good=good, bad=bad)
        # Of the share of pairs that are drawn G counts 1/share times: eq. 1 is linear in it.
        gamma = self.config.gamma / self.config.steering_share
        return combine(self.loss, views, self._weight(scored), gamma, self.config.weight_scope)

    def _weight(self, scored: Mapping[Conditional, Scored]) -> Tensor | None:
        if self.form.weight is None:
            return None
        first, second = WEIGHED[self.form.weight]
        return weight(scored[first].mean, scored[second].mean, self.config.alpha, self.config.weight_gradient)


def method_of(config: Training) -> Method:
    """The objective of a training block; method `none` is none and must not get here."""
    loss: Loss = LOSSES.load(config.loss).of(config)
    return Method(config, loss, ObjectiveForm.of(config))
