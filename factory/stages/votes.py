"""Votes on more pairs than memory holds: a file for each part of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from factory.schema import JUDGMENTS

VOTE_ORDER = ("pair_id", "judge", "order")
"""What judgments are sorted by."""

NARROW = ("pair_id", "judge", "order", "vote")
"""Columns of judgments without the answers."""


class RecordedVotes(NamedTuple):
    """JUDGMENTS given as a table: one part."""

    table: pl.DataFrame

    def scan(self) -> pl.LazyFrame:
        """All votes."""
        return self.table.lazy()

    def narrow(self) -> Iterator[pl.DataFrame]:
        """What votes alone say."""
        return iter([self.table.select(NARROW)])

    def parts(self) -> Iterator[pl.DataFrame]:
        """All votes at once."""
        return iter([self.table])


class VoteParts:
    """The JUDGMENTS of each part of a table of pairs, sorted within it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Path] = []

    def __len__(self) -> int:
        return len(self._files)

    def put(self, number: int, votes: pl.DataFrame) -> None:
        """All votes there are on the pairs of a part; parts are put in their order."""
        path = self._folder / f"{number:06d}.parquet"
        self._folder.mkdir(exist_ok=True)
        # Sorted, so that the bytes do not hang on the order in which answers came.
        votes.sort(VOTE_ORDER).write_parquet(path)
        # A further judge adds to a part that is there, whose file is written again.
        if number == len(self._files):
            self._files.append(path)

    def of(self, number: int) -> pl.DataFrame:
        """The votes on the pairs of a part."""
        return pl.read_parquet(self._files[number], glob=False) if number < len(self._files) else JUDGMENTS.empty()

    def scan(self) -> pl.LazyFrame:
        """All votes, part by part."""
        return pl.scan_parquet(self._files, glob=False) if self._files else JUDGMENTS.empty().lazy()

    def narrow(self) -> Iterator[pl.DataFrame]:
        """What votes alone say, of each part."""
        return (pl.scan_parquet(path, glob=False).select(NARROW).collect() for path in self._files)

    def parts(self) -> Iterator[pl.DataFrame]:
        """The votes of each part."""
        return (self.of(number) for number in range(len(self._files)))


VotesInParts = RecordedVotes | VoteParts
"""Votes of which each part holds all those on its pairs."""
