"""What is scored, and what the files of the benchmarks have in common."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import polars as pl

from factory.errors import ConfigError, InputError
from factory.identity import Messages
from factory.progress import Progress
from factory.readers import How, PairsLike
from factory.readers.inputs.opened import Opened, Skipped
from factory.readers.inputs.sources import as_list, open_inputs
from factory.readers.messages import is_text

ALL = "all"
"""The group of what is not grouped."""


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

    items: list[ScoredItem]
    unread: int = 0
    """Rows that are no pairs."""
    benchmark: str = ""
    """Its name, once it is known."""


Columns = Mapping[str, pl.DataType]
Scores = Sequence[float | None]
"""Of the replies of an item, in their order; None where one has no score."""
Scored = Sequence[tuple[ScoredItem, Scores]]
_S = TypeVar("_S", bound=Scores)


def by_group(scored: Sequence[tuple[ScoredItem, _S]]) -> dict[str, list[tuple[ScoredItem, _S]]]:
    """What was scored of each group, in the order in which they come."""
    groups: dict[str, list[tuple[ScoredItem, _S]]] = {}
    for item, scores in scored:
        groups.setdefault(item.group, []).append((item, scores))
    return groups


def complete(scores: Scores) -> tuple[float, ...] | None:
    """The scores, or None where one is missing."""
    known = tuple(score for score in scores if score is not None)
    return known if len(known) == len(scores) else None


class ItemsAsked(NamedTuple):
    """What is to be read, and how."""

    inputs: PairsLike
    group: str | None
    """Column by which items are grouped."""
    how: How
    progress: Progress

    def opened(self) -> list[Opened]:
        """The tables of all inputs, without those that cannot be opened where they may be left out."""
        return open_inputs(self.inputs, skipped=Skipped(allowed=self.how.skip_unreadable))


class Benchmark(NamedTuple):
    """A layout of files with rules of its own for what scores come to."""

    fits: Callable[[Sequence[pl.LazyFrame]], bool]
    """Whether tables are its files."""
    read: Callable[[ItemsAsked], ScoredItems]
    """The items of its files. Raises InputError for other ones."""
    result: Callable[[Scored, int], dict[str, Any]]
    """What the scores come to; the seed draws the bootstrap's samples."""
    grouped: bool = False
    """Whether a column may be named to group its items by; else it has subsets of its own."""
    as_pairs: bool = False
    """Whether its files are read as any pairs are, so that it can be said how; else by its own columns."""


class OfficialTable(NamedTuple):
    """A file of a benchmark, or a split of its data set."""

    given: int
    """Which of the inputs it came with."""
    split: str
    """What its name says that it is."""
    opened: Opened


class OfficialLayout(NamedTuple):
    """How the files of a benchmark look."""

    fits: Callable[[Columns], bool]
    about: str
    """What its columns are, for messages."""
    picked: Callable[[Sequence[OfficialTable], Progress], Sequence[OfficialTable]] = lambda tables, progress: tables
    """Which of the files are scored, where not all are."""


class BenchmarkRow(NamedTuple):
    """A row of one file."""

    file: str
    """Its name, for messages."""
    split: str
    """What the file's name says of the subset."""
    number: int
    """From 1."""
    place: str
    """What messages call it within the file."""
    columns: Columns
    cells: Mapping[str, Any]

    def wrong(self, what: str) -> InputError:
        """The error that says what is wrong with it."""
        return InputError(f"{self.file}: {self.place}: {what}; check the file")

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


def read_rows(asked: ItemsAsked, layout: OfficialLayout, item: Callable[[BenchmarkRow], ScoredItem]) -> ScoredItems:
    """An item of each row. What another file has already, as a whole beside its parts, counts once, and that is said.

    Raises InputError for a row that cannot be read, and for a file in another layout.
    """
    found: list[ScoredItem] = []
    files: dict[object, str] = {}
    again = Counter[str]()
    for row in _rows(asked, layout):
        made = item(row)
        turns = tuple((turn["role"], turn["content"]) for turn in made.prompt)
        # Of one file all rows count, as they do by the benchmark's own rules.
        if files.setdefault((made.group, turns, made.replies, made.quality), row.file) == row.file:
            found.append(made)
        else:
            again[row.file] += 1
    for file, count in again.items():
        asked.progress.say(f"{file}: {count:,} of its rows are in another file as well, and count once")
    return ScoredItems(found)


def _rows(asked: ItemsAsked, layout: OfficialLayout) -> Iterator[BenchmarkRow]:
    tables = [
        OfficialTable(number, opened.split or ALL, opened)
        for number, given in enumerate(as_list(asked.inputs))
        for opened in open_inputs(given)
    ]
    for _, split, opened in layout.picked(tables, asked.progress):
        if opened.unread.height:
            raise InputError(f"{opened.where}: {opened.unread.height} rows cannot be read; check the file")
        before = 0
        for frame in _fitting(opened, layout):
            columns = frame.collect_schema()
            require_column(asked.group, columns, opened.where)
            for number, cells in enumerate(frame.collect().iter_rows(named=True), before + 1):
                # Rows of unlike types lie in frames of their own, and which was which in the file is not known.
                place = f"row {number}" if len(opened.frames) == 1 else "a row"
                yield BenchmarkRow(opened.where, split, number, place, columns, cells)
                before = number


def _fitting(opened: Opened, layout: OfficialLayout) -> Sequence[pl.LazyFrame]:
    strange = [frame for frame in opened.frames if not layout.fits(frame.collect_schema())]
    if strange:
        count = sum(frame.select(pl.len()).collect().item() for frame in strange)
        some = f"{count:,} of its rows are not so: " if len(strange) < len(opened.frames) else ""
        raise InputError(f"{opened.where}: {some}{layout.about}; check the file, or say --benchmark pairs")
    return opened.frames


def require_column(group: str | None, columns: Iterable[str], where: str) -> None:
    """Raise ConfigError where there is no such column to group by."""
    if group is not None and group not in columns:
        raise ConfigError(f"{where} has no column {group!r} to group by; there are {', '.join(columns)}")


def have_lists(columns: Columns) -> bool:
    """Whether both sides are lists of text."""
    sides = (columns.get("chosen"), columns.get("rejected"))
    return all(isinstance(dtype, pl.List) and is_text(dtype.inner) for dtype in sides)


def is_prompt(dtype: pl.DataType | None) -> bool:
    """Whether a column holds texts or conversations."""
    if is_text(dtype):
        return True
    if not isinstance(dtype, pl.List) or not isinstance(dtype.inner, pl.Struct):
        return False
    return {"role", "content"} <= dtype.inner.to_schema().keys()
