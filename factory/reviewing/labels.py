"""What people said of pairs: a journal per person, each answer appended as it lands, and one table made of them all."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from factory.errors import StoreError
from factory.files.json_text import parsed
from factory.statistics.shares import cohens_kappa
from factory.strict import Strict

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
        size = self._file.seek(0, os.SEEK_END)
        if size and _last_byte(self._file) != b"\n":
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


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def read_answers(path: Path) -> dict[str, tuple[str, str]]:
    """Label and time by pair_id, as a journal leaves them; torn and garbled lines are passed over."""
    given: dict[str, tuple[str, str]] = {}
    for line in path.read_bytes().splitlines():
        try:
            event = parsed(line)
            pair_id, label = str(event["pair_id"]), event["label"]
        except (ValueError, KeyError, TypeError):
            continue
        given.pop(pair_id, None)
        # A label of null takes the answer back.
        if label in ANSWERS:
            given[pair_id] = (label, str(event.get("time")))
    return given


def write_labels(path: Path) -> pl.DataFrame:
    """Write the table of everybody's answers, made from the journals beside it, under a temporary name first."""
    rows = [
        (pair_id, None if label in ("tie", "skip") else label == "chosen", label, annotator, time)
        for annotator, given in _everybody(path).items()
        for pair_id, (label, time) in given.items()
    ]
    schema = {**LABELS, "time": pl.String()}
    table = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col("time").str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    )
    # With the process's number, since several people's reviews write this one table.
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    table.write_parquet(draft)
    draft.replace(path)
    return table


def _everybody(path: Path) -> dict[str, dict[str, tuple[str, str]]]:
    front, back = f"{path.stem}.", ".jsonl"
    found = {}
    for other in sorted(path.parent.iterdir()):
        name = other.name.removeprefix(front).removesuffix(back)
        if other.name == f"{front}{name}{back}" and name:
            found[name] = read_answers(other)
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
