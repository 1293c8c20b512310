"""Pairs of any layout, counted apart by a column where one is named."""

from typing import Any

from factory.identity import digest
from factory.readers.inputs.splits import splits
from factory.readers.told import read_and_tell, tell_set_aside
from factory.reward.accuracy import GroupAccuracy, tally
from factory.reward.official import ALL, Benchmark, ItemsAsked, ReadItems, Scored, ScoredItem, Scores, require_column
from factory.reward.pairwise import ScoredPair, by_length, calibration


def read(asked: ItemsAsked) -> ReadItems:
    """Every pair; how the files are read is said. Raises ConfigError when there is no such column."""
    given = splits(asked.inputs)
    if given.test:
        what = f"what is for training and what is for testing ({given.tests})"
        asked.progress.say(f"{what} are scored together; give the latter alone to score what was held out")
    split, group = read_and_tell(asked.inputs, asked.how, asked.progress).pairs, asked.group
    table, reasons = split.kept.collect(), split.reasons()
    tell_set_aside(reasons, asked.progress)
    require_column(group, table.columns, "the table of pairs")
    groups = [ALL] * table.height if group is None else map(str, table[group].to_list())
    items = [
        ScoredItem(row["pair_id"], name, row["prompt"], (row["chosen"], row["rejected"]), 1)
        for name, row in zip(groups, table.iter_rows(named=True), strict=True)
    ]
    return ReadItems(items, sum(reasons.values()))


def tallies(scored: Scored, seed: int) -> dict[str, GroupAccuracy]:
    """The counts of each group, by name."""
    groups: dict[str, list[tuple[ScoredItem, Scores]]] = {}
    for item, scores in scored:
        groups.setdefault(item.group, []).append((item, scores))
    return {name: _tally(groups[name], seed) for name in sorted(groups)}


def beyond(scored: Scored, seed: int) -> dict[str, Any]:
    """What is told of any two replies: accuracy by length beside its baselines, and calibration."""
    pairs = [
        ScoredPair(s[0], s[1], len(item.replies[0]), len(item.replies[1]), digest(item.prompt)) for item, s in scored
    ]
    return {**by_length(pairs, seed), "calibration": calibration(pairs)}


def whole(scored: Scored, seed: int) -> dict[str, Any]:
    """The counts of all pairs together."""
    return _tally(scored, seed)._asdict()


def _tally(scored: Scored, seed: int) -> GroupAccuracy:
    return tally([(s[0], s[1]) for _, s in scored], [digest(item.prompt) for item, _ in scored], seed)


def result(scored: Scored, seed: int) -> dict[str, Any]:
    """Counts of all pairs, and of each group where there are groups."""
    groups = {name: one._asdict() for name, one in tallies(scored, seed).items()}
    return {**whole(scored, seed), "groups": {} if list(groups) == [ALL] else groups, **beyond(scored, seed)}


PAIRS = Benchmark(lambda frames: True, read, result, grouped=True, as_pairs=True)
