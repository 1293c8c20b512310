"""A reward model measured: every reply scored, then counted by the rules of the benchmark."""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import polars as pl

from factory.errors import InputError
from factory.identity import digest
from factory.models.ref import ModelRef
from factory.progress import Progress
from factory.reward.config import RewardScoring
from factory.reward.ensemble import apart, joined
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
