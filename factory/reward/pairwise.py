"""What the scores of pairs come to beyond their accuracy: by length, against length alone, and as probabilities."""

from collections.abc import Sequence
from math import exp, fsum
from typing import Any, NamedTuple

import numpy as np

from factory.reward.accuracy import Weighted, independent, mean, tally
from factory.statistics.shares import ratio

BINS = 10
"""Of the confidence from 0.5 to 1, alike in width."""


class ScoredPair(NamedTuple):
    """The scores of a pair's replies, their lengths in characters, and what tells its prompt from others."""

    chosen: float | None
    rejected: float | None
    chosen_length: int
    rejected_length: int
    prompt: str


def by_length(pairs: Sequence[ScoredPair], seed: int) -> dict[str, Any]:
    """Accuracy where the chosen reply is the longer one, the shorter one, and where both are as long.

    `length_mean` is the plain mean of the first two, with the interval of `mean`: a model that looks at nothing but
    length gets 0.5 there. None where one of the two has no scored pair. `always_longer` and `always_shorter` are what
    such models get of all scored pairs; a pair of equal lengths is won by neither.
    """
    known = [pair for pair in pairs if pair.chosen is not None and pair.rejected is not None]
    groups = {
        "chosen_longer": [pair for pair in pairs if pair.chosen_length > pair.rejected_length],
        "chosen_shorter": [pair for pair in pairs if pair.chosen_length < pair.rejected_length],
        "equal": [pair for pair in pairs if pair.chosen_length == pair.rejected_length],
    }
    parts = {name: ([pair[:2] for pair in group], [pair.prompt for pair in group]) for name, group in groups.items()}
    tallies = {name: tally(*part, seed) for name, part in parts.items()}
    longer, shorter = tallies["chosen_longer"], tallies["chosen_shorter"]
    halves = [
        Weighted(tallies[name].wins / tallies[name].n, independent(*parts[name], seed), 0.5)
        for name in ("chosen_longer", "chosen_shorter")
        if longer.n and shorter.n
    ]
    balanced = mean(halves)
    return {
        "length_mean": balanced.score,
        "length_mean_low": balanced.low,
        "length_mean_high": balanced.high,
        "always_longer": ratio(longer.n, len(known)),
        "always_shorter": ratio(shorter.n, len(known)),
        "by_length": {name: one._asdict() for name, one in tallies.items()},
    }


def calibration(pairs: Sequence[ScoredPair]) -> dict[str, Any]:
    """How far sigmoid(r(chosen) - r(rejected)), the model's probability of the label, can be taken at its word.

    A pair's confidence is that of the reply with the higher score, from 0.5 to 1; it is right when that reply is the
    chosen one, and half right at a tie. `ece` is the expected calibration error, the mean over pairs of the distance
    between a bin's confidence and its accuracy; `log_loss` is -log sigmoid(margin), ln 2 for a model that knows
    nothing; `brier` is the mean of (1 - sigmoid(margin))^2, 0.25 for such a model. `bins` has those that hold a pair.
    """
    margins = [pair.chosen - pair.rejected for pair in pairs if pair.chosen is not None and pair.rejected is not None]
    if not margins:
        return {"ece": None, "log_loss": None, "brier": None, "bins": []}
    filled: dict[int, list[float]] = {}
    for margin in margins:
        place = int((sigmoid(abs(margin)) - 0.5) * 2 * BINS)
        # A confidence of 1 would lie behind the last bin.
        filled.setdefault(min(place, BINS - 1), []).append(margin)
    bins = [_bin(place, filled[place]) for place in sorted(filled)]
    n = len(margins)
    return {
        "ece": fsum(one["n"] * abs(one["accuracy"] - one["confidence"]) for one in bins) / n,
        "log_loss": fsum(np.logaddexp(0.0, np.negative(margins))) / n,
        "brier": fsum((1 - sigmoid(margin)) ** 2 for margin in margins) / n,
        "bins": bins,
    }


def _bin(place: int, margins: Sequence[float]) -> dict[str, Any]:
    n = len(margins)
    return {
        "from": 0.5 + place / (2 * BINS),
        "to": 0.5 + (place + 1) / (2 * BINS),
        "n": n,
        "confidence": fsum(sigmoid(abs(margin)) for margin in margins) / n,
        "accuracy": fsum((margin > 0) + (margin == 0) / 2 for margin in margins) / n,
    }


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)), without overflow."""
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))
