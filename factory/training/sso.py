"""The equations of Self-Steering Optimization, as pure functions of log-probabilities.

Notation: x is the prompt, x+ and x- the prompt under its good and its bad principle; y+ is the chosen reply, y- the
rejected one, y° the reply to x alone. pi~(y|x) = log pi(y|x) / |y| (eq. 4). L(x, a, b) is a base loss with a preferred.

    eq. 1   loss = W (gamma G + L(x, y+, y-))
    eq. 2   G    = L(x+, y+, y-) + L(x-, y-, y+)      naive
    eq. 3   G    = L(x+, y+, y-) + L(x-, y°, y+)      original
    eq. 5   W    = sigmoid(-(alpha pi~(y+|x) + (1 - alpha) pi~(y-|x)))
    eq. 6   W'   = sigmoid(-(alpha pi~(y°|x+) + (1 - alpha) pi~(y°|x-)))

All tensors have one entry per pair, [pairs].
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from factory.training.losses import Loss


class Scored(NamedTuple):
    """A reply under a view, for every pair of a batch."""

    policy: Tensor
    """log pi(y|x), summed over tokens; carries gradient."""
    tokens: Tensor
    """|y|, at least 1."""
    reference: Tensor | None = None
    """The same sum under the policy that training starts from; None where no loss needs it."""

    @property
    def mean(self) -> Tensor:
        """pi~(y|x), eq. 4."""
        return self.policy / self.tokens


class PairLogps(NamedTuple):
    """Two replies under the same view; `chosen` is the one that the loss prefers there, be it y+, y- or y°."""

    chosen: Scored
    rejected: Scored


class ComparedPairs(NamedTuple):
    """The pair that is compared under each of x, x+ and x-; None where the method does not look."""

    plain: PairLogps
    good: PairLogps | None = None
    bad: PairLogps | None = None


class Terms(NamedTuple):
    """The parts of eq. 1, per pair; None where the method has no such part."""

    loss: Tensor
    """What is optimised."""
    margin: Tensor
    """h of y+ over y- under x."""
    steering: Tensor | None
    """G."""
    weight: Tensor | None
    """W or W'."""


def margin(loss: Loss, pair: PairLogps) -> Tensor:
    """h, the margin of chosen over rejected as `loss` wants it. Raises ValueError when it lacks a reference."""
    return _score(loss, pair.chosen) - _score(loss, pair.rejected)


def _score(loss: Loss, reply: Scored) -> Tensor:
    ratio = reply.policy
    if loss.needs_reference:
        if reply.reference is None:
            raise ValueError(f"{type(loss).__name__} needs the reference's log-probabilities")
        ratio = ratio - reply.reference
    return ratio / reply.tokens if loss.normalises else ratio


def preference(loss: Loss, pair: PairLogps) -> Tensor:
    """L(x, chosen, rejected)."""
    return loss(margin(loss, pair))


def steering(loss: Loss, good: PairLogps, bad: PairLogps) -> Tensor:
    """G, eq. 2 or 3, by which replies `bad` holds: (y-, y+) is the naive form, (y°, y+) the original one."""
    return preference(loss, good) + preference(loss, bad)


def weight(first: Tensor, second: Tensor, alpha: float, gradient: bool = True) -> Tensor:
    """W, eq. 5, of pi~(y+|x) and pi~(y-|x), or W', eq. 6, of pi~(y°|x+) and pi~(y°|x-).

    It carries gradient: minimising W is what raises the average probability of the replies, and so keeps them
    on-policy. `gradient` False makes it a mere number, which then favours pairs that have drifted off-policy.
    """
    on_policy = alpha * first + (1 - alpha) * second
    return torch.sigmoid(-(on_policy if gradient else on_policy.detach()))


def combine(
    loss: Loss, views: ComparedPairs, w: Tensor | None, gamma: float, scope: Literal["all", "steering"] = "all"
) -> Terms:
    """Eq. 1. Without W it is gamma G + L; without G, W L. Scope `steering` weighs G alone: W gamma G + L."""
    plain = margin(loss, views.plain)
    total, part = loss(plain), None
    if views.good is not None and views.bad is not None:
        part = steering(loss, views.good, views.bad)
        steered = gamma * part
        total = total + (steered if w is None or scope == "all" else w * steered)
    if w is not None and scope == "all":
        total = w * total
    return Terms(total, plain, part, w)
