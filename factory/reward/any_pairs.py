"""Pairs of any layout, counted apart by a column where one is named."""

from functools import partial
from typing import Any

from factory.identity import digest
from factory.readers.inputs.splits import splits
from factory.reward.accuracy import GroupAccuracy, tally
from factory.reward.data import collected
from factory.reward.official import (
    ALL,
    Benchmark,
    ItemsAsked,
    Scored,
    ScoredItem,
    ScoredItems,
    by_group,
    require_column,
)
from factory.reward.pairwise import ScoredPair, by_length, calibration


def read(asked: ItemsAsked) -> ScoredItems:
    """Every pair; how the files are read is said. Raises ConfigError when there is no such column."""
    given = splits(asked.inputs)
    if given.test:
        what = f"what is for training and what is for testing ({given.tests})"
        asked.progress.say(f"{what} are scored together; give the latter alone to score what was held out")
    (table, unread), group = collected(asked.inputs, asked.how, asked.progress), asked.group
    require_column(group, table.columns, "the table of pairs")
    groups = [ALL] * table.height if group is None else map(str, table[group].to_list())
    items = [
        ScoredItem(row["pair_id"], name, row["prompt"], (row["chosen"], row["rejected"]), 1)
        for name, row in zip(groups, table.iter_rows(named=True), strict=True)
    ]
    return ScoredItems(items, unread)


def tallies(scored: Scored, seed: int) -> dict[str, GroupAccuracy]:
    """The counts of each group, by name."""
    return {name: _tally(group, seed) for name, group in sorted(by_group(scored).items())}


def beyond(scored: Scored, seed: int) -> dict[str, Any]:
    """What is told of any two replies: accuracy by length beside its baselines, and calibration."""
    pairs = [
        ScoredPair(s[0], s[1], len(item.replies[0]), len(item.replies[1]), digest(item.prompt)) for item, s in scored
    ]
    return {**by_length(pairs, seed), "calibration": calibration(pairs)}


def _tally(scored: Scored, seed: int) -> GroupAccuracy:
    return tally([(s[0], s[1]) for _, s in scored], [digest(item.prompt) for item, _ in scored], seed)


def result(key: str, scored: Scored, seed: int) -> dict[str, Any]:
    """Counts of all pairs, and under `key` those of each group where there are groups."""
    groups = {name: one._asdict() for name, one in tallies(scored, seed).items()}
    whole = _tally(scored, seed)._asdict()
    return {**whole, key: {} if list(groups) == [ALL] else groups, **beyond(scored, seed)}


PAIRS = Benchmark(lambda frames: True, read, partial(result, "groups"), grouped=True, as_pairs=True)
