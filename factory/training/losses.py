"""Base losses L(x, a, b): how much it costs that reply a is not preferred over reply b under prompt x.

A loss is a function of the margin h between the two replies. What h is made of, it declares:

| needs_reference | normalises | h |
|---|---|---|
| yes | no | [log pi(a) - log ref(a)] - [log pi(b) - log ref(b)], summed over tokens |
| yes | yes | the same with each log-ratio divided by its reply's number of tokens |
| no | yes | pi~(a) - pi~(b), mean log-probabilities per token |
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from torch import Tensor
from torch.nn.functional import logsigmoid

from factory.config import Training


class Loss(Protocol):
    """A base loss; small, frozen, without state."""

    needs_reference: ClassVar[bool]
    """Whether h is measured against the policy that training starts from."""
    normalises: ClassVar[bool]
    """Whether log-probabilities are divided by the number of tokens."""

    @classmethod
    def of(cls, config: Training) -> Self:
        """The loss with the options of a training block."""

    def __call__(self, margin: Tensor) -> Tensor:
        """Loss per pair, of the shape of `margin`, in nats or squared nats; finite wherever `margin` is."""


@dataclass(frozen=True)
class _Scaled:
    """A loss whose one option is the scale of its margin."""

    beta: float

    @classmethod
    def of(cls, config: Training) -> Self:
        """With the options of a training block."""
        return cls(config.beta)


@dataclass(frozen=True)
class Ipo(_Scaled):
    """(h - 1 / (2 beta))^2, Azar et al. 2023, eq. 17; log-ratios per token, as TRL and LLaMA-Factory take them."""

    needs_reference: ClassVar[bool] = True
    normalises: ClassVar[bool] = True

    def __call__(self, margin: Tensor) -> Tensor:
        """Squared distance of the margin from 1 / (2 beta)."""
        return (margin - 1 / (2 * self.beta)).square()


@dataclass(frozen=True)
class Dpo(_Scaled):
    """-log sigmoid(beta h), Rafailov et al. 2023, eq. 7; summed log-ratios."""

    needs_reference: ClassVar[bool] = True
    normalises: ClassVar[bool] = False

    def __call__(self, margin: Tensor) -> Tensor:
        """Logistic loss of the scaled margin."""
        # Not log(sigmoid(...)), which is -inf with a NaN gradient once the sigmoid underflows.
        return -logsigmoid(self.beta * margin)


@dataclass(frozen=True)
class Hinge(_Scaled):
    """max(0, 1 - beta h), SLiC (Zhao et al. 2023) on DPO's margin; summed log-ratios."""

    needs_reference: ClassVar[bool] = True
    normalises: ClassVar[bool] = False

    def __call__(self, margin: Tensor) -> Tensor:
        """What the scaled margin lacks to 1."""
        return (1 - self.beta * margin).relu()


@dataclass(frozen=True)
class Simpo:
    """-log sigmoid(beta h - margin), Meng et al. 2024, eq. 6; no reference, mean log-probabilities."""

    beta: float
    margin: float
    needs_reference: ClassVar[bool] = False
    normalises: ClassVar[bool] = True

    @classmethod
    def of(cls, config: Training) -> Self:
        """With the options of a training block."""
        return cls(config.beta, config.simpo_margin)

    def __call__(self, margin: Tensor) -> Tensor:
        """Logistic loss of the scaled margin beyond the target."""
        return -logsigmoid(self.beta * margin - self.margin)
