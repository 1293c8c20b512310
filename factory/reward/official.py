"""What is scored, and what the files of the benchmarks have in common."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.errors import ConfigError, InputError
from factory.identity import Messages
from factory.progress import Progress
from factory.readers import How, PairsLike
from factory.readers.inputs.sources import as_list, open_inputs
from factory.readers.messages import is_text

ALL = "all"
"""The group of what is not grouped."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


class ScoredItem(NamedTuple):
    """A prompt with replies of which the first `correct` are right."""

    id: str
    group: str
    """Subset of the benchmark, or the value of the column that groups pairs."""
    prompt: Messages
    replies: tuple[str, ...]
    correct: int
    quality: tuple[float, ...] = ()
    """How good each reply is, best first, where it is more than right or wrong that is told."""


class ScoredItems(NamedTuple):
    """What one scoring is about."""

    benchmark: str
    items: list[ScoredItem]
    unread: int
    """Rows that are no pairs."""


Columns = Mapping[str, pl.DataType]
Scores = Sequence[float | None]
"""Of the replies of an item, in their order; None where one has no score."""
Scored = Sequence[tuple[ScoredItem, Scores]]


class ItemsAsked(NamedTuple):
    """What is to be read, and how."""

    inputs: PairsLike
    group: str | None
    """Column by which items are grouped."""
    how: How
    progress: Progress


class ReadItems(NamedTuple):
    """Items, and how many rows are none."""

    items: list[ScoredItem]
    unread: int = 0


class Benchmark(NamedTuple):
    """A layout of files with rules of its own for what scores come to."""

    fits: Callable[[Sequence[pl.LazyFrame]], bool]
    """Whether tables are its files."""
    read: Callable[[ItemsAsked], ReadItems]
    """The items of its files. Raises InputError for other ones."""
    result: Callable[[Scored, int], dict[str, Any]]
    """What the scores come to; the seed draws the bootstrap's samples."""
    grouped: bool = False
    """Whether a column may be named to group its items by; else it has subsets of its own."""


class BenchmarkRow(NamedTuple):
    """A row of one file."""

    file: str
    """Its name, for messages."""
    stem: str
    """What the file's name says of the subset."""
    number: int
    """From 1."""
    columns: Columns
    cells: Mapping[str, Any]

    def wrong(self, what: str) -> InputError:
        """The error that says what is wrong with it."""
        return InputError(f"{self.file}: row {self.number}: {what}; check the file")

    def reply(self, value: Any) -> str:
        """A reply that is there. Raises InputError."""
        if not isinstance(value, str):
            raise self.wrong("a reply is missing")
        return value

    @property
    def prompt(self) -> Messages:
        """A text or a conversation as messages. Raises InputError for none."""
        value = self.cells["prompt"]
        if isinstance(value, str):
            return [{"role": "user", "content": value}]
        if not value or any(turn is None or turn["content"] is None for turn in value):
            raise self.wrong("the prompt is missing")
        return [{"role": turn["role"], "content": turn["content"]} for turn in value]


def rows(asked: ItemsAsked, fit: Callable[[Columns], bool], layout: str) -> Iterator[BenchmarkRow]:
    """The rows of each table; of a raw and a filtered split in a folder those of the filtered one.

    Raises InputError for a row that cannot be read, and for columns that do not `fit`, where it tells the `layout`.
    """
    for given in as_list(asked.inputs):
        opened_tables = open_inputs(given)
        stems = [_SHARD.sub("", opened.stem or ALL) for opened in opened_tables]
        for stem, opened in zip(stems, opened_tables, strict=True):
            # RewardBench comes as both in one folder, and is scored on the filtered one.
            if "filtered" in stems and stem != "filtered":
                continue
            if opened.unread.height:
                raise InputError(f"{opened.where}: {opened.unread.height} rows cannot be read; check the file")
            for frame in opened.frames:
                columns = frame.collect_schema()
                if not fit(columns):
                    raise InputError(f"{opened.where}: {layout}; check the file")
                require_column(asked.group, columns, opened.where)
                for number, cells in enumerate(frame.collect().iter_rows(named=True), 1):
                    yield BenchmarkRow(opened.where, stem, number, columns, cells)


def require_column(group: str | None, columns: Iterable[str], where: str) -> None:
    """Raise ConfigError where there is no such column to group by."""
    if group is not None and group not in columns:
        raise ConfigError(f"{where} has no column {group!r} to group by; there are {', '.join(columns)}")


def are_texts(dtype: pl.DataType | None) -> bool:
    """Whether a column holds lists of text."""
    return isinstance(dtype, pl.List) and is_text(dtype.inner)


def is_prompt(dtype: pl.DataType | None) -> bool:
    """Whether a column holds texts or conversations."""
    if is_text(dtype):
        return True
    if not isinstance(dtype, pl.List) or not isinstance(dtype.inner, pl.Struct):
        return False
    return {"role", "content"} <= dtype.inner.to_schema().keys()
