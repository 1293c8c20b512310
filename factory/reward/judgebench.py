"""JudgeBench (Tan et al. 2024): pairs of a right and a wrong answer, in the paper's four categories."""

from collections.abc import Sequence
from functools import partial

import polars as pl

from factory.errors import InputError
from factory.reward import any_pairs
from factory.reward.official import Benchmark, ItemsAsked, ScoredItems

CATEGORIES = {
    "mmlu-pro": "Knowledge",
    "livebench-reasoning": "Reasoning",
    "livebench-math": "Math",
    "livecodebench": "Coding",
}
"""What `source` begins with, and the category of such questions."""
_COLUMNS = ("source", "question", "response_A", "response_B", "label")


def fits(frames: Sequence[pl.LazyFrame]) -> bool:
    """All have its columns."""
    return bool(frames) and all(set(frame.collect_schema()) >= {*_COLUMNS} for frame in frames)


def read(asked: ItemsAsked) -> ScoredItems:
    """Pairs, by category; the source itself where it is of none. Raises InputError for a file in another layout."""
    for opened in asked.opened():
        if not fits(opened.frames):
            listed = ", ".join(_COLUMNS)
            raise InputError(
                f"{opened.where}: JudgeBench has the columns {listed}; check the file, or say --benchmark pairs"
            )
    found = any_pairs.read(asked._replace(group="source"))
    items = []
    for item in found.items:
        named = (name for start, name in CATEGORIES.items() if item.group.startswith(start))
        items.append(item._replace(group=next(named, item.group)))
    return found._replace(items=items)


JUDGEBENCH = Benchmark(fits, read, partial(any_pairs.result, "categories"), as_pairs=True)
"""`accuracy` is over pairs, as JudgeBench counts."""
