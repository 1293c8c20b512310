"""Attention for rows that all begin at column 0, whose numbers do not depend on the other rows of the batch.

Prompts are padded behind, and each chunk of queries, cut at fixed positions, sees just the keys up to its own end: what
is computed for a token has the same shapes whatever else is in the batch and however much of the prompt was there
before. On CPUs whose bfloat16 products are exact row by row, a request then gets the same bits in any batch.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

KERNEL = "aligned_rows"
CHUNK = 16
"""Positions at which queries are cut on a CPU; a shared beginning is a multiple of it."""
GPU_CHUNK = 1024


class Span(NamedTuple):
    """Neighbouring rows, and the columns the longest of them takes."""

    rows: slice
    width: int


def aligned_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    spans: Sequence[Span] = (),
    **options: Any,
) -> tuple[Tensor, None]:
    """`query` [rows, heads, T, size] are the last T positions of `key` and `value` [rows, key heads, W, size].

    With T = 1 `attention_mask` [rows, 1, 1, W] says which columns a row has, and `spans` how far those of neighbouring
    rows reach, so that short rows do not pay for the longest; otherwise attention is causal. Returns
    [rows, T, heads, size].
    """
    if attention_mask is not None:
        parts = [
            _grouped(
                query[rows], key[rows, :, :width], value[rows, :, :width], attention_mask[rows, ..., :width], scaling
            )
            for rows, width in spans or [Span(slice(None), key.shape[2])]
        ]
        out = torch.cat(parts)
    else:
        # Cut at fixed positions, not into equal parts: a token is then in a product of one shape in any batch.
        past, chunk = key.shape[2] - query.shape[2], CHUNK if query.device.type == "cpu" else GPU_CHUNK
        parts = []
        for start in range(0, query.shape[2], chunk):
            queries = query[:, :, start : start + chunk]
            end = past + start + queries.shape[2]
            mask = torch.ones(queries.shape[2], end, dtype=torch.bool, device=query.device).tril(past + start)
            parts.append(_grouped(queries, key[:, :, :end], value[:, :, :end], mask[None, None], scaling))
        out = torch.cat(parts, dim=2)
    return out.transpose(1, 2).contiguous(), None


def _grouped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None) -> Tensor:
    """Attention in which the queries that share a key head are laid behind one another, so that no key is copied."""
    rows, heads, length, size = query.shape
    groups = heads // key.shape[1]
    # Repeating the keys instead would copy the cache of every row at every token.
    packed = query.reshape(rows, key.shape[1], groups * length, size)
    out = scaled_dot_product_attention(packed, key, value, attn_mask=mask.repeat(1, 1, groups, 1), scale=scaling)
    # No view: each kernel has a memory order of its own, and CUDA's for float32 puts position before head.
    return out.reshape(rows, heads, length, value.shape[3])
