"""Optimiser steps and the micro-batches they are made in.

A step is a fixed set of pairs whose mean loss is minimised. How it is cut into micro-batches, and over how many
processes, changes nothing about that mean: each pair has the weight one over the pairs of the step.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from factory.identity import draw
from factory.models.layout import Encoded, Layout, buckets
from factory.training.conditionals import PLAIN, Conditional
from factory.training.data import TrainingExample
from factory.training.methods import Method
from factory.training.sso import PairLogps, Scored, Terms


class MicroBatch(NamedTuple):
    """Pairs that go through the model together."""

    examples: tuple[TrainingExample, ...]
    """Those with all their views first."""
    filler: bool = False
    """True where the pairs are there only so that every process runs the model equally often: they weigh nothing."""

    @property
    def counts(self) -> Tensor:
        """[R] int64: reply length of each conditional, of the first pair, then of the second, and so on."""
        return torch.tensor([count for example in self.examples for count in example.counts])


def steps(examples: Sequence[TrainingExample], seed: int, epochs: int, pairs: int) -> list[list[TrainingExample]]:
    """The pairs of each optimiser step, shuffled anew each epoch by `seed` and pair_id: row order changes nothing."""
    made: list[list[TrainingExample]] = []
    for epoch in range(epochs):
        order = sorted(examples, key=lambda example: (draw(seed, "order", epoch, example.pair_id), example.key))
        made += [order[start : start + pairs] for start in range(0, len(order), pairs)]
    return made


def thinned(made: Sequence[list[TrainingExample]], seed: int, share: float) -> list[list[TrainingExample]]:
    """The pairs of each step, with their steered views for a share of them, drawn by seed, step and pair."""
    return [
        [
            example if draw(seed, "steering", step, example.pair_id) < share * 2**63 else example.plain
            for example in examples
        ]
        for step, examples in enumerate(made)
    ]


def micro_batches(
    step: Sequence[TrainingExample],
    kind: Layout,
    max_tokens: int,
    world: int = 1,
    rank: int = 0,
    *,
    by_view: bool = False,
) -> list[MicroBatch]:
    """What process `rank` of `world` has of a step, longest first. All have equally many, as sharded models need it.

    A micro-batch holds at most `max_tokens` tokens, padding included, unless it is a single pair; `by_view`, at most
    so many under each view.
    """
    rows = kind != "flat"
    lengths = [_size(example, kind, by_view) for example in step]
    groups = buckets(lengths, max_tokens, padded=rows)
    # Halved until they go round evenly; a filler would be computed for nothing.
    while len(groups) % world and max(map(len, groups)) > 1:
        largest = groups.pop(groups.index(max(groups, key=len)))
        groups += [largest[::2], largest[1::2]]
    # Those with all views first, since `computed` cuts the sums there.
    made = [MicroBatch(tuple(sorted((step[i] for i in group), key=lambda one: -len(one.items)))) for group in groups]
    # Alike ones side by side: each process takes one of `world` neighbours, and all wait for the slowest.
    made.sort(key=lambda micro: -sum(example.tokens(kind) for example in micro.examples))
    shortest = min(step, key=lambda example: example.tokens(kind))
    made += [MicroBatch((shortest,), filler=True)] * (-len(made) % world)
    return made[rank::world]


def _size(example: TrainingExample, kind: Layout, by_view: bool) -> int:
    """Tokens of a pair, or of its largest view; in rows, each counts as long as the longest."""
    if by_view:
        return max(_size(example._replace(items=(item,)), kind, by_view=False) for item in example.items)
    if kind == "flat":
        return example.tokens(kind)
    if kind == "separate":
        return len(example.counts) * max(item.longest for item in example.items)
    return len(example.items) * max(item.tokens(kind) for item in example.items)


class Computed(NamedTuple):
    """What came of a micro-batch, per pair."""

    terms: Terms
    on_policy: PairLogps
    """chosen and rejected under x."""


def computed(method: Method, micro: MicroBatch, sums: Tensor, counts: Tensor, reference: Tensor | None) -> Computed:
    """Eq. 1 from a batch's reply sums, [conditionals]; `reference` likewise. A pair without steered views has G = 0."""
    whole = sum(len(example.counts) == len(method.needed) for example in micro.examples)
    parts = []
    for objective, part in (
        (method, slice(0, whole * len(method.needed))),
        (method.undrawn, slice(whole * len(method.needed), None)),
    ):
        if len(sums[part]):
            given = None if reference is None else reference[part]
            found = scored(objective.needed, sums[part], counts[part], given)
            parts.append((objective.terms(found), found))
    terms = _together([terms for terms, _ in parts], method)
    chosen, rejected = (_beside([found[reply] for _, found in parts]) for reply in PLAIN)
    return Computed(terms, PairLogps(chosen, rejected))


def _together(parts: Sequence[Terms], method: Method) -> Terms:
    steering = None
    if method.form.steering is not None:
        # 1/share times, so that the mean over many steps is that over all pairs.
        drawn = [torch.zeros_like(one.loss) if one.steering is None else one.steering for one in parts]
        steering = torch.cat(drawn) / method.config.steering_share
    weights = [one.weight for one in parts if one.weight is not None]
    loss, margin = (torch.cat([getattr(one, name) for one in parts]) for name in ("loss", "margin"))
    return Terms(loss, margin, steering, torch.cat(weights) if weights else None)


def _beside(parts: Sequence[Scored]) -> Scored:
    return Scored(torch.cat([one.policy for one in parts]), torch.cat([one.tokens for one in parts]))


def scored(
    needed: Sequence[Conditional], sums: Tensor, counts: Tensor, reference: Tensor | None
) -> dict[Conditional, Scored]:
    """What the equations read, from a batch's reply sums, [pairs * conditionals]; `reference` likewise, as sums."""
    shape = (-1, len(needed))
    columns = zip(sums.view(shape).unbind(1), counts.view(shape).unbind(1), strict=True)
    references = [None] * len(needed) if reference is None else list(reference.view(shape).unbind(1))
    return {
        conditional: Scored(policy, tokens, given)
        for conditional, (policy, tokens), given in zip(needed, columns, references, strict=True)
    }


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
