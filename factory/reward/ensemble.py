"""Several reward models as one, and how far they are apart."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from factory.reward.scorer import Reward

Matrix = NDArray[np.float64]
"""Scores [models, replies]; NaN where a model gives none."""


def _standardised(scores: Matrix) -> Matrix:
    """Each model's scores with mean 0 and deviation 1 over the replies; alike ones are 0."""
    centred = scores - np.nanmean(scores, axis=1, keepdims=True)
    spread = np.nanstd(scores, axis=1, keepdims=True)
    # Scores that are all alike say nothing, and are 0 in place of 0 / 0.
    made: Matrix = centred / np.where(spread > 0, spread, 1.0)
    return made


ENSEMBLES: Mapping[str, Callable[[Matrix], NDArray[np.float64]]] = {
    "mean": lambda scores: scores.mean(axis=0),
    "standardised": lambda scores: _standardised(scores).mean(axis=0),
    "worst": lambda scores: _standardised(scores).min(axis=0),
}
"""From scores [models, replies] to one of each reply."""

_MEASURES = ("accuracy", "length_mean", "score", "pair_accuracy")


def joined(models: Sequence[Sequence[Reward]], how: str) -> list[Reward]:
    """One reward of each reply; a reply to which one of the models gives none has none."""
    rows = [[float("nan") if reward.score is None else reward.score for reward in rewards] for rewards in models]
    scores = np.array(rows, dtype=np.float64)
    # A sum in which one is NaN is NaN: a reply that one model gave nothing has no reward of the others alone.
    known: NDArray[np.bool_] = np.isfinite(scores.sum(axis=0))
    ours = np.full(scores.shape[1], np.nan)
    if known.any():
        ours[known] = ENSEMBLES[how](scores[:, known])
    return [_one(replies, float(ours[number]), bool(known[number]))
            for number, replies in enumerate(zip(*models, strict=True))]  # fmt: skip


def _one(replies: Sequence[Reward], score: float, known: bool) -> Reward:
    missing = next((reward.missing for reward in replies if reward.missing), None)
    return Reward(score if known else None, replies[0].tokens, any(reward.cut for reward in replies), missing)


def apart(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (n - 1) over models of the measures that all of them have."""
    found = {}
    for name in _MEASURES:
        values = [result.get(name) for result in results]
        if all(isinstance(value, float) for value in values):
            numbers = np.array(values, dtype=np.float64)
            found[name] = {"mean": float(numbers.mean()), "deviation": float(numbers.std(ddof=1))}
    return found
