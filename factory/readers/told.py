"""What the commands that read pairs have in common: saying how they were read."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl

from factory.errors import one_line
from factory.progress import Progress
from factory.readers.how import How
from factory.readers.inputs.sources import PairsLike
from factory.readers.pairs import read_pairs
from factory.readers.reading import PairsRead, Reading, counted
from filters.base import Filter

_FIRST = 1_000


class Told(NamedTuple):
    """Pairs, and how they were read."""

    pairs: PairsRead
    reading: Reading


def read_and_tell(pairs: PairsLike, how: How, progress: Progress, source: str | None = None) -> Told:
    """Read pairs and say how; what is set aside is counted, and said, by the command as it goes through them."""
    found = read_pairs(pairs, source, how)
    reading = found.reading
    for line in reading.lines():
        progress.say(line)
    return Told(found, reading)


def tell_remarks(steps: Iterable[Filter], progress: Progress) -> None:
    """Say what filters remark before they work."""
    for step in steps:
        for remark in step.remarks:
            progress.say(f"{step.name}: {one_line(remark)}")


def tell_idle(steps: Iterable[Filter], pairs: PairsRead, progress: Progress) -> None:
    """Say which filters will keep every pair, as the first pairs have none of the columns that they look at."""
    for step in steps:
        names = step.looks_at
        # A few rows: what a file has of the kind, it has from its first rows on.
        first = pairs.kept.select(names).head(_FIRST).collect(engine="streaming") if names else pl.DataFrame()
        if first.height and all(first[name].null_count() == first.height for name in names):
            told = f"none of the first {first.height:,} pairs has {' or '.join(names)}"
            progress.say(f"{step.name}: {told}, without which it keeps every pair")


def tell_set_aside(reasons: Mapping[str, int], progress: Progress) -> None:
    """Say how many rows are no pairs, by reason."""
    if reasons:
        progress.say(f"{sum(reasons.values()):,} rows are no pairs and are set aside: {counted(reasons)}")
