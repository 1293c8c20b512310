"""Pairs of any layout, counted apart by a column where one is named; JudgeBench are such pairs by category."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import polars as pl

from factory.errors import InputError
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


def _tally(scored: Scored, seed: int) -> GroupAccuracy:
    return tally([(s[0], s[1]) for _, s in scored], [digest(item.prompt) for item, _ in scored], seed)


def _result(key: str, scored: Scored, seed: int) -> dict[str, Any]:
    """Counts of all pairs, and under `key` those of each group where there are groups."""
    groups = {name: one._asdict() for name, one in tallies(scored, seed).items()}
    whole = _tally(scored, seed)._asdict()
    return {**whole, key: {} if list(groups) == [ALL] else groups, **beyond(scored, seed)}


PAIRS = Benchmark(lambda frames: True, read, partial(_result, "groups"), grouped=True, as_pairs=True)

CATEGORIES = {
    "mmlu-pro": "Knowledge",
    "livebench-reasoning": "Reasoning",
    "livebench-math": "Math",
    "livecodebench": "Coding",
}
"""What `source` begins with in JudgeBench (Tan et al. 2024), and the category of such questions."""
_COLUMNS = ("source", "question", "response_A", "response_B", "label")


def _is_judgebench(frames: Sequence[pl.LazyFrame]) -> bool:
    """All have its columns."""
    return bool(frames) and all(set(frame.collect_schema()) >= {*_COLUMNS} for frame in frames)


def _read_judgebench(asked: ItemsAsked) -> ReadItems:
    """Pairs, by category; the source itself where it is of none. Raises InputError for a file in another layout."""
    for opened in asked.opened():
        if not _is_judgebench(opened.frames):
            listed = ", ".join(_COLUMNS)
            raise InputError(
                f"{opened.where}: JudgeBench has the columns {listed}; check the file, or say --benchmark pairs"
            )
    found = read(asked._replace(group="source"))
    return found._replace(items=[item._replace(group=_category(item.group)) for item in found.items])


def _category(source: str) -> str:
    return next((name for start, name in CATEGORIES.items() if source.startswith(start)), source)


JUDGEBENCH = Benchmark(_is_judgebench, _read_judgebench, partial(_result, "categories"), as_pairs=True)
"""`accuracy` is over pairs, as JudgeBench counts."""
