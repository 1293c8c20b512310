"""JudgeBench (Tan et al. 2024): pairs of a right and a wrong answer, in the paper's four categories."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from factory.errors import InputError
from factory.reward import any_pairs
from factory.reward.any_pairs import beyond, tallies, whole
from factory.reward.official import Benchmark, ItemsAsked, ReadItems, Scored

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


def read(asked: ItemsAsked) -> ReadItems:
    """Pairs, by category; the source itself where it is of none. Raises InputError for a file in another layout."""
    for opened in asked.opened():
        if not fits(opened.frames):
            listed = ", ".join(_COLUMNS)
            raise InputError(
                f"{opened.where}: JudgeBench has the columns {listed}; check the file, or say --benchmark pairs"
            )
    found = any_pairs.read(asked._replace(group="source"))
    return found._replace(items=[item._replace(group=category(item.group)) for item in found.items])


def category(source: str) -> str:
    """The category of a source."""
    return next((name for start, name in CATEGORIES.items() if source.startswith(start)), source)


def result(scored: Scored, seed: int) -> dict[str, Any]:
    """Counts of all pairs and of each category: `accuracy` is over pairs, as JudgeBench counts."""
    return {
        **whole(scored, seed),
        "categories": {name: one._asdict() for name, one in tallies(scored, seed).items()},
        **beyond(scored, seed),
    }


JUDGEBENCH = Benchmark(fits, read, result, as_pairs=True)
