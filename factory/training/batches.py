"""Optimiser steps and the micro-batches they are made in.

A step is a fixed set of pairs whose mean loss is minimised. How it is cut into micro-batches, and over how many
processes, changes nothing about that mean: each pair has the weight one over the pairs of the step.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from factory.identity import draw
from factory.models.layout import Batch, Layout, buckets, layout
from factory.training.data import Example
from factory.training.methods import Conditional
from factory.training.sso import Scored


class MicroBatch(NamedTuple):
    """Pairs that go through the model together."""

    examples: tuple[Example, ...]
    filler: bool = False
    """True where the pairs are there only so that every process runs the model equally often: they weigh nothing."""


def steps(examples: Sequence[Example], seed: int, epochs: int, pairs: int) -> list[list[Example]]:
    """The pairs of each optimiser step, shuffled anew each epoch by `seed` and pair_id: row order changes nothing."""
    made: list[list[Example]] = []
    for epoch in range(epochs):
        order = sorted(examples, key=lambda example: (draw(seed, "order", epoch, example.pair_id), example.key))
        made += [order[start : start + pairs] for start in range(0, len(order), pairs)]
    return made


def micro_batches(
    step: Sequence[Example], kind: Layout, max_tokens: int, world: int = 1, rank: int = 0
) -> list[MicroBatch]:
    """What process `rank` of `world` has of a step, longest first. All have equally many, as sharded models need it.

    A micro-batch holds at most `max_tokens` tokens, padding included, unless it is a single pair.
    """
    rows = kind != "flat"
    lengths = [_padded(example, kind) if rows else example.tokens(kind) for example in step]
    groups = buckets(lengths, max_tokens, padded=rows)
    while len(groups) % world and max(map(len, groups)) > 1:
        largest = groups.pop(groups.index(max(groups, key=len)))
        groups += [largest[::2], largest[1::2]]
    made = [MicroBatch(tuple(step[i] for i in group)) for group in groups]
    made.sort(key=lambda micro: -sum(example.tokens(kind) for example in micro.examples))
    shortest = min(step, key=lambda example: example.tokens(kind))
    made += [MicroBatch((shortest,), filler=True)] * (-len(made) % world)
    return made[rank::world]


def _padded(example: Example, kind: Layout) -> int:
    """Tokens of a pair when each of its rows is as long as its longest."""
    if kind == "separate":
        return len(example.counts) * max(item.longest for item in example.items)
    return len(example.items) * max(item.tokens(kind) for item in example.items)


def tensors(micro: MicroBatch, kind: Layout, pad_id: int) -> Batch:
    """The batch of a micro-batch; its replies are the conditionals of the first pair, then of the second, and so on."""
    return layout([item for example in micro.examples for item in example.items], kind, pad_id)


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
