"""Attention and sampling whose numbers, for a row, do not depend on the other rows of the batch.

All rows begin at column 0. Prompts are padded behind, and each chunk of queries, cut at fixed positions, sees just the
keys up to its own end: what is computed for a token has the same shapes whatever else is in the batch and however much
of the prompt was there before. On CPUs whose bfloat16 products are exact row by row, a request then gets the same bits
in any batch.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from factory.models.exact import exact

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


FEW = 64
"""A nucleus is nearly always smaller than this, and finding the few likeliest is much cheaper than sorting all."""


def pick(logits: Tensor, temperature: Tensor, top_p: Tensor, uniform: Tensor) -> Tensor:
    """One token per row: `logits` [rows, vocabulary]; `temperature`, `top_p`, `uniform` in [0, 1) [rows]; ids [rows].

    A row depends on its own numbers alone, so that the other rows of a batch cannot change it. The nucleus is the
    smallest set of likeliest tokens with at least `top_p` of the mass; tokens are taken in order of falling probability
    until the share `uniform` of the nucleus is reached. Temperature 0 takes the likeliest token. All but the logits
    lie, as the ids do, on the `exact_device` of the logits.
    """
    logits, temperature = logits.float(), temperature.float()
    chosen = logits.argmax(-1).to(uniform.device)
    rows = torch.nonzero(temperature > 0).flatten()
    size = min(FEW, logits.shape[-1])
    while len(rows):
        scaled = logits[rows] / temperature[rows].to(logits.device)[:, None]
        ids, done = _nucleus(scaled, top_p[rows], uniform[rows], size)
        chosen[rows[done]] = ids[done]
        rows, size = rows[~done], min(size * 32, logits.shape[-1])
    return chosen


def _nucleus(scaled: Tensor, top_p: Tensor, uniform: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Ids [rows] from the `size` likeliest tokens, and for which rows those hold the nucleus [rows]."""
    values, ids = scaled.topk(size)
    # Over the whole vocabulary, though only the likeliest are listed: the nucleus is a share of all the mass.
    # In double: a sum over thousands of float32 shares is off by more than the tail of a nucleus holds.
    probabilities = exact((values - scaled.logsumexp(-1, keepdim=True)).exp())
    mass = probabilities.cumsum(-1)
    done = (mass[:, -1] >= top_p) | (size == scaled.shape[-1])
    # By the mass before a token, so that the one that crosses top_p is still in, and the likeliest always is.
    inside = (mass - probabilities) < top_p[:, None]
    target = uniform.double() * (probabilities * inside).sum(-1)
    # The minimum, because a share next to 1 may by rounding lie behind the last token of the nucleus.
    place = (mass <= target[:, None]).sum(-1).minimum(inside.sum(-1) - 1)
    return ids.to(place.device).gather(1, place[:, None]).flatten(), done
