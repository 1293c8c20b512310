"""Attention for sequences that share a prompt: in one flat row, each reply sees its prompt and itself.

Linear layers run over every token once, without padding. Only inside attention is the row taken apart into one causal
sequence per reply (the prompt's queries, keys and values are repeated, not recomputed), so that the fast causal kernels
apply and no mask of the length squared is ever built.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

KERNEL = "shared_prompt"


class Segments(NamedTuple):
    """How a flat row of T tokens maps to a grid of S causal sequences, right-padded to L."""

    gather: Tensor
    """[S, L] int64: the token in each cell; padding cells hold 0, which no real query sees."""
    scatter: Tensor
    """[T] int64: one cell of the flattened grid for each token."""


def shared_prompt_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    segments: Segments | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Causal attention over the sequences of `segments`; plain sdpa where none are given.

    `query` is [1, heads, T, size], `key` and `value` the same with the key heads; returns [1, T, heads, size].
    """
    if segments is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return plain
    grid = [_spread(states, segments) for states in (query, key, value)]
    # Without a mask and causal by word, which is what lets torch choose its flash kernels.
    out, _ = sdpa_attention_forward(module, *grid, None, **{**options, "is_causal": True})
    return out.flatten(0, 1).index_select(0, segments.scatter).unsqueeze(0), None


def _spread(states: Tensor, segments: Segments) -> Tensor:
    """[1, heads, T, size] to [S, heads, L, size]; index_select, since its gradient is a plain addition of rows."""
    rows = states[0].transpose(0, 1).index_select(0, segments.gather.flatten())
    return rows.view(*segments.gather.shape, *rows.shape[1:]).transpose(1, 2)


def kernel(model: Any, active: bool = True) -> AbstractContextManager[None]:
    """Give the transformers model `model` this attention while the block runs.

    With gradient checkpointing the block must cover the backward pass too, which runs the layers again.
    """
    if not active or model.config._attn_implementation == KERNEL:
        return nullcontext()
    return attention(model, KERNEL, shared_prompt_attention)


def segments_of(spans: list[tuple[int, int, list[tuple[int, int]]]], total: int) -> Segments:
    """The grid for prompts at [start, stop) with replies at [start, stop), all in one row of `total` tokens."""
    rows = [
        torch.cat([torch.arange(start, stop), torch.arange(*reply)])
        for start, stop, replies in spans
        for reply in replies
    ]
    longest = max(len(row) for row in rows)
    # Padding behind is never seen in causal attention, whatever stands in it.
    gather = torch.zeros(len(rows), longest, dtype=torch.int64)
    scatter = torch.zeros(total, dtype=torch.int64)
    for number, row in enumerate(rows):
        gather[number, : len(row)] = row
        # A prompt token stands in several rows; whichever is written last serves, since all of them compute the same.
        scatter[row] = torch.arange(number * longest, number * longest + len(row))
    return Segments(gather, scatter)


@contextmanager
def attention(model: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Give the transformers model `model` the attention `function`, registered as `name`, while the block runs."""
    before = model.config._attn_implementation
    # Global to the process and the same each time; what is switched on and off is the model's choice of it.
    AttentionInterface.register(name, function)
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
