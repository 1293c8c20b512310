"""Votes on more pairs than memory holds: a file for each part of them."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from factory.schema import JUDGMENTS

VOTE_ORDER = ("pair_id", "judge", "order")
"""What judgments are sorted by."""


class VoteParts:
    """The JUDGMENTS of each part of a table of pairs, sorted within it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Path] = []

    def put(self, number: int, votes: pl.DataFrame) -> None:
        """All votes there are on the pairs of a part; parts are put in their order."""
        path = self._folder / f"{number:06d}.parquet"
        votes.sort(VOTE_ORDER).write_parquet(path)
        if number == len(self._files):
            self._files.append(path)

    def of(self, number: int) -> pl.DataFrame:
        """The votes on the pairs of a part."""
        return pl.read_parquet(self._files[number]) if number < len(self._files) else JUDGMENTS.empty()

    def scan(self) -> pl.LazyFrame:
        """All votes, part by part."""
        return pl.scan_parquet(self._files) if self._files else JUDGMENTS.empty().lazy()

    def narrow(self, judge: str) -> pl.LazyFrame:
        """What votes alone say, of one judge."""
        return self.scan().select("pair_id", "judge", "order", "vote").filter(pl.col("judge") == judge)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """The votes of each part."""
        return (self.of(number) for number in range(len(self._files)))
