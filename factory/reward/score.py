"""A reward model measured: every reply scored, then counted by the rules of the benchmark."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.errors import InputError
from factory.identity import digest
from factory.models.ref import ModelRef
from factory.progress import Progress
from factory.reward.accuracy import tally
from factory.reward.config import RewardScoring
from factory.reward.items import ALL, ScoredItem, ScoredItems
from factory.reward.pairwise import ScoredPair, by_length, calibration
from factory.reward.rewardbench import rewardbench
from factory.reward.rewardbench2 import Sample, rewardbench2
from factory.reward.scorer import Conversation, Reward, open_reward_model
from factory.store.journal import Journal


class Measured(NamedTuple):
    """The scores and what they come to."""

    scores: pl.DataFrame
    """A row per reply: id, group, reply (from 0, right ones first), correct, score, tokens, cut, missing."""
    result: dict[str, Any]


SCORES = {
    "id": pl.String(),
    "group": pl.String(),
    "reply": pl.Int64(),
    "correct": pl.Boolean(),
    "score": pl.Float64(),
    "tokens": pl.Int64(),
    "cut": pl.Boolean(),
    "missing": pl.String(),
}


def measure(
    found: ScoredItems, ref: ModelRef, config: RewardScoring, seed: int, journal: Journal, progress: Progress
) -> Measured:
    """Score all replies of `found` with the reward model `ref`. `seed` draws the bootstrap's samples.

    Scores that the journal has of this model under these settings are not computed again.
    Raises InputError when there is nothing to score, EngineError when `ref` is no reward model.
    """
    if not found.items:
        raise InputError("there is nothing to score: no row of the files is a pair")
    replies = [Conversation(item.prompt, reply) for item in found.items for reply in item.replies]
    identity = digest([ref.identity, config.max_length, config.dtype])
    rewards = open_reward_model(ref, config).rewards(replies, progress, journal, identity)
    return measured(found, rewards, seed)


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
    return Measured(_table(by_item), {**head, **_result(found.benchmark, by_item, seed)})


def _result(benchmark: str, by_item: Sequence[tuple[ScoredItem, list[Reward]]], seed: int) -> dict[str, Any]:
    groups: dict[str, list[Sample]] = {}
    for item, rewards in by_item:
        sample = Sample(item.id, item.correct, tuple(reward.score for reward in rewards))
        groups.setdefault(item.group, []).append(sample)
    if benchmark == "rewardbench2":
        return rewardbench2(groups, seed)
    tallies = {name: tally(map(_sides, groups[name])) for name in sorted(groups)}
    shown = {name: one._asdict() for name, one in tallies.items()}
    pairs = [_pair(item, *rewards) for item, rewards in by_item]
    more = {**by_length(pairs), "calibration": calibration(pairs)}
    if benchmark == "rewardbench":
        return {**rewardbench(tallies), "subsets": shown, **more}
    whole = tally(_sides(sample) for group in groups.values() for sample in group)
    return {**whole._asdict(), "groups": {} if list(groups) == [ALL] else shown, **more}


def _sides(sample: Sample) -> tuple[float | None, float | None]:
    chosen, rejected = sample.scores
    return chosen, rejected


def _pair(item: ScoredItem, chosen: Reward, rejected: Reward) -> ScoredPair:
    return ScoredPair(chosen.score, rejected.score, len(item.replies[0]), len(item.replies[1]))


def _table(by_item: Sequence[tuple[ScoredItem, list[Reward]]]) -> pl.DataFrame:
    rows = [
        (item.id, item.group, number, number < item.correct, *reward)
        for item, rewards in by_item
        for number, reward in enumerate(rewards)
    ]
    return pl.DataFrame(rows, schema=SCORES, orient="row")
