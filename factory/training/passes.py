"""The passes of a micro-batch through the model: all views at once, or each view by itself.

Eq. 1 is a sum over views but for its weight. Given W and the numbers of the other views, a view's part of the gradient
needs the activations of that view alone. So one view's are held at a time, and nothing is computed twice but the views
that the weight reads: they go first, without gradient. It is gradient caching (Gao et al. 2021,
https://arxiv.org/abs/2101.06983) along views in place of a batch.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor

from factory.models.layout import Encoded
from factory.training.batches import MicroBatch
from factory.training.methods import Method


class TrainingPass(NamedTuple):
    """What goes through the model together."""

    items: list[Encoded]
    at: Tensor
    """[R] int64: the place of each reply among all conditionals of the micro-batch."""
    gradient: bool
    """False for numbers alone."""


def passes(method: Method, micro: MicroBatch, by_view: bool) -> list[TrainingPass]:
    """The passes of `micro` in their order.

    When one of `by_view` has its gradient taken, the log-probabilities that this gradient depends on are known.
    """
    views = method.views[: max(len(example.items) for example in micro.examples)]
    if not by_view or len(views) == 1:
        return [_pass(micro, range(len(views)), gradient=True)]
    # W multiplies what it weighs: the gradient of each view needs its value before that view's own pass.
    weighing = [views.index(view) for view in method.weighing]
    others = [place for place in range(len(views)) if place not in weighing]
    return [
        *(_pass(micro, [place], gradient=False) for place in weighing),
        # G is known once these are through, and the weight's own views can be told what they weigh.
        *(_pass(micro, [place], gradient=True) for place in [*others, *weighing]),
    ]


def _pass(micro: MicroBatch, places: Collection[int], gradient: bool) -> TrainingPass:
    items: list[Encoded] = []
    at: list[int] = []
    reached = 0
    for example in micro.examples:
        for place, item in enumerate(example.items):
            following = reached + len(item.replies)
            if place in places:
                items.append(item)
                at += range(reached, following)
            reached = following
    return TrainingPass(items, torch.tensor(at), gradient)
