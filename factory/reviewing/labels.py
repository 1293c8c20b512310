"""What people said of pairs: a journal per person, each answer appended as it lands, and one table made of them all."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from factory.errors import ConfigError, StoreError
from factory.files.json_text import read_lines
from factory.statistics.shares import cohens_kappa
from factory.store.ownership import Record
from factory.strict import Strict

BY = "review"
ANSWERS = ("chosen", "rejected", "tie", "skip")
"""The reply called chosen is better; the other one is; neither; no opinion."""
LABELS: dict[str, pl.DataType] = {
    "pair_id": pl.String(),
    "right": pl.Boolean(),
    "label": pl.String(),
    "annotator": pl.String(),
    "time": pl.Datetime("us", "UTC"),
}
"""The table of labels; `right` is null where the label is tie or skip."""


def journal_of(labels: Path, annotator: str) -> Path:
    """Where a person's answers are journaled, beside the table."""
    return labels.with_name(f"{labels.stem}.{annotator}.jsonl")


class Answers:
    """One person's answers by pair, in the order given, journaled as they land. Use as a context: it holds a lock."""

    def __init__(self, labels: Path, annotator: str) -> None:
        """Read what was answered before. StoreError where another process answers in that name, or cannot write."""
        self.annotator, self._path = annotator, journal_of(labels, annotator)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self._path.open("a+b")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise StoreError(f"{self._path}: answers cannot be kept there ({why}); choose another --out") from error
        try:
            # On the journal itself, so that the lock ends with the process and no file is left to be cleared away.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise StoreError(f"{annotator} is reviewing into {labels} already; give --as another name") from error
        self.given = read_answers(self._path)
        held = self._path.read_bytes()
        if held and not held.endswith(b"\n"):
            self._file.write(b"\n")  # what a kill tore stays a line of its own, and is passed over

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            os.fsync(self._file.fileno())
        self._file.close()

    def give(self, pair_id: str, label: str) -> None:
        """Record an answer; it takes the place of an earlier one on that pair."""
        time = datetime.now(UTC).isoformat()
        self._append({"pair_id": pair_id, "label": label, "time": time})
        self.given.pop(pair_id, None)
        self.given[pair_id] = (label, time)

    def take_back(self, pair_id: str) -> None:
        """Undo the answer on a pair."""
        self._append({"pair_id": pair_id, "label": None})
        self.given.pop(pair_id, None)

    def _append(self, event: Mapping[str, Any]) -> None:
        # In one write, and flushed: a kill loses the answer under way, and tears no other.
        self._file.write(json.dumps(event).encode() + b"\n")
        self._file.flush()


def read_answers(path: Path) -> dict[str, tuple[str, str]]:
    """Label and time by pair_id, as a journal leaves them."""
    return _last(_events(path))


def _events(path: Path) -> Iterator[tuple[str, Any, str]]:
    """All that a journal says, in order: pair_id, label, time; torn and garbled lines are passed over."""
    for event in read_lines(path):
        if {"pair_id", "label"} <= event.keys():
            yield str(event["pair_id"]), event["label"], str(event.get("time"))


def _last(events: Iterable[tuple[str, Any, str]]) -> dict[str, tuple[str, str]]:
    given: dict[str, tuple[str, str]] = {}
    for pair_id, label, time in events:
        given.pop(pair_id, None)
        # A label of null takes the answer back.
        if label in ANSWERS:
            given[pair_id] = (label, time)
    return given


def write_labels(path: Path) -> pl.DataFrame:
    """Write the table of everybody's answers, made from the journals beside it, under a temporary name first.

    ConfigError where the table that lies there holds what none of its journals ever said.
    """
    # Before the journals: what another reviewer has put into the table since is in a journal then.
    former = _former(path)
    said = {name: list(_events(journal)) for name, journal in journals(path).items()}
    every = _table((name, *event) for name, events in said.items() for event in events if event[1] in ANSWERS)
    if former is None or not former.join(every, on=list(LABELS), how="anti", nulls_equal=True).is_empty():
        raise ConfigError(
            f"{path} holds what no review put there: it was changed, or its answers ({path.stem}.NAME.jsonl) were "
            "moved away; move it elsewhere, or give another --out"
        )
    table = _table((name, pair, *last) for name, events in said.items() for pair, last in _last(events).items())
    # With the process's number, since several people's reviews write this one table.
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    table.write_parquet(draft)
    draft.replace(path)
    return table


def _former(path: Path) -> pl.DataFrame | None:
    """The table that lies there, an empty one where none does; None for what is no table of labels."""
    if not path.exists():
        return pl.DataFrame(schema=LABELS)
    with suppress(pl.exceptions.PolarsError, OSError):
        found = pl.read_parquet(path, glob=False)
        return found if dict(found.schema) == LABELS else None
    return None


def _table(said: Iterable[tuple[str, str, str, str]]) -> pl.DataFrame:
    """The table of labels; each row is said by a person of a pair: a label, at a time."""
    rows = [
        (pair_id, None if label in ("tie", "skip") else label == "chosen", label, annotator, time)
        for annotator, pair_id, label, time in said
    ]
    return pl.DataFrame(rows, schema={**LABELS, "time": pl.String()}, orient="row").with_columns(
        pl.col("time").str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    )


def journals(path: Path) -> dict[str, Path]:
    """By person, the journals of the table `path`: those that reviews wrote, and for it."""
    written = [name for name, entry in Record.read(path.parent).entries.items() if entry.by == BY]
    stems = {path.stem, *(Path(name).stem for name in written if not name.endswith(".jsonl"))}
    found = {}
    for name in sorted(name for name in written if name.endswith(".jsonl") and (path.parent / name).is_file()):
        # The longest: labels.v2.ana.jsonl is Ana's for labels.v2.parquet where there is one, and not v2.ana's.
        stem = max((stem for stem in stems if name.startswith(f"{stem}.")), key=len, default=None)
        if stem == path.stem:
            found[name.removeprefix(f"{stem}.").removesuffix(".jsonl")] = path.parent / name
    return found


class Person(Strict):
    """What one person answered."""

    annotator: str
    chosen: int
    rejected: int
    tie: int
    skip: int


class ReviewerAgreement(Strict):
    """How far two people agree on the pairs that both have labelled, skipped ones left out."""

    people: tuple[str, str]
    n: int
    agreement: float | None
    kappa: float | None
    """Cohen's."""


class Reviewed(Strict):
    """What a review has come to."""

    labels: str
    """Path of the table."""
    people: list[Person]
    agreement: list[ReviewerAgreement]


def reviewed(path: Path, table: pl.DataFrame) -> Reviewed:
    """Counts by person, and the agreement of every two."""
    said = {
        str(name): dict(rows.select("pair_id", "label").iter_rows())
        for (name,), rows in table.sort("annotator").group_by("annotator", maintain_order=True)
    }
    people = [
        Person(annotator=name, **{label: Counter(given.values())[label] for label in ANSWERS})
        for name, given in said.items()
    ]
    made = []
    for one, two in combinations(said, 2):
        both = [(said[one][pair], said[two][pair]) for pair in said[one] if pair in said[two]]
        found = cohens_kappa(Counter(labels for labels in both if "skip" not in labels))
        made.append(ReviewerAgreement(people=(one, two), **found._asdict()))
    return Reviewed(labels=str(path), people=people, agreement=made)
