"""Picking the next token: temperature and nucleus, by inverse CDF from numbers that are passed in."""

import torch
from torch import Tensor

from factory.models.exact import exact

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
