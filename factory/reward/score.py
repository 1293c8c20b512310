"""A reward model measured, or several as one: every reply scored, then counted by the rules of the benchmark."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.errors import InputError
from factory.identity import digest
from factory.models.ref import ModelRef
from factory.progress import Progress
from factory.reward.config import RewardScoring
from factory.reward.items import BENCHMARKS
from factory.reward.official import ScoredItem, ScoredItems
from factory.reward.scorer import Conversation, Reward, open_reward_model
from factory.store.journal import Journal


class Measured(NamedTuple):
    """The scores and what they come to."""

    scores: pl.DataFrame
    """A row per reply: id, group, reply (from 0, right or best ones first), score, tokens, cut, missing; whether it is
    correct, or its quality where that is told: the best of a prompt may be no good."""
    result: dict[str, Any]


SCORES = {
    "id": pl.String(),
    "group": pl.String(),
    "reply": pl.Int64(),
    "correct": pl.Boolean(),
    "quality": pl.Float64(),
    "score": pl.Float64(),
    "tokens": pl.Int64(),
    "cut": pl.Boolean(),
    "missing": pl.String(),
}


def measure(
    found: ScoredItems,
    refs: Sequence[ModelRef],
    config: RewardScoring,
    seed: int,
    journal: Journal,
    progress: Progress,
) -> Measured:
    """Score all replies of `found` with the reward models `refs`. `seed` draws the bootstrap's samples.

    The result is that of the model, or of several models as one; then `models` has the measures of each, in order, and
    `over_models` their mean and deviation. Scores that the journal has of a model under these settings are not computed
    again. Raises InputError when there is nothing to score, EngineError when one of `refs` is no reward model.
    """
    if not found.items:
        raise InputError("there is nothing to score: no row of the files is a pair")
    replies = [Conversation(item.prompt, reply) for item in found.items for reply in item.replies]
    each = []
    for ref in refs:
        # batch_tokens and device are no part of it: they change how fast a score is there.
        identity = digest([ref.identity, config.max_length, config.dtype])
        each.append(open_reward_model(ref, config).rewards(replies, progress, journal, identity))
    if len(each) == 1:
        return measured(found, each[0], seed)
    results = [measured(found, rewards, seed).result for rewards in each]
    ours = measured(found, joined(each, config.ensemble), seed)
    models = [{name: value for name, value in one.items() if isinstance(value, int | float | None)} for one in results]
    return ours._replace(result={**ours.result, "models": models, "over_models": apart(results)})


def measured(found: ScoredItems, rewards: Sequence[Reward], seed: int) -> Measured:
    """What the rewards of all replies, in order, come to."""
    queue = iter(rewards)
    by_item = [(item, [next(queue) for _ in item.replies]) for item in found.items]
    missing = Counter(reward.missing for reward in rewards if reward.missing)
    head = {
        "benchmark": found.benchmark,
        "prompts": len(found.items),
        "replies": len(rewards),
        "unread": found.unread,
        "cut": sum(reward.cut for reward in rewards),
        "without_score": dict(sorted(missing.items())),
    }
    scored = [(item, [reward.score for reward in rewards]) for item, rewards in by_item]
    return Measured(_table(by_item), {**head, **BENCHMARKS[found.benchmark].result(scored, seed)})


def _table(by_item: Sequence[tuple[ScoredItem, list[Reward]]]) -> pl.DataFrame:
    rows = [
        (item.id, item.group, number, None if item.quality else number < item.correct, quality, *reward)
        for item, rewards in by_item
        for number, (reward, quality) in enumerate(zip_longest(rewards, item.quality))
    ]
    return pl.DataFrame(rows, schema=SCORES, orient="row")


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
