"""Which tables of a folder or data set are for training, and which are for testing what was trained."""

import re
from pathlib import Path
from typing import NamedTuple

from factory.progress import Progress
from factory.readers.inputs.opened import InputTable
from factory.readers.inputs.sources import PairsLike, PairSource, as_list, find

_NAMES = "(test|validation|valid|val|dev|eval)"
_HELD = re.compile(rf"{_NAMES}([_.-].*)?", re.IGNORECASE)
"""What a split is called that is not for training, such as test_prefs."""
_FOLDER = re.compile(rf"(?:split=)?{_NAMES}", re.IGNORECASE)
"""The same of a folder, also as Spark writes it; of a longer name it is not certain."""


class Splits(NamedTuple):
    """Tables for training, and those that are for testing by name."""

    train: list[PairSource]
    test: list[PairSource]

    @property
    def tests(self) -> str:
        """What the tables for testing are called, for messages."""
        return ", ".join(table.where for table in self.test if isinstance(table, InputTable))


def splits(inputs: PairsLike) -> Splits:
    """The tables of each folder or data set in which some are for testing, and some are not.

    Anything else is for training as it is.
    """
    found = Splits([], [])
    for given in as_list(inputs):
        tables = find(given)
        held = [any(map(_HELD.fullmatch, _called(table, given))) for table in tables]
        if not any(held) or all(held):
            found.train.append(given)
            continue
        for table, test in zip(tables, held, strict=True):
            (found.test if test else found.train).append(table)
    return found


def _called(table: InputTable, given: PairSource) -> list[str]:
    """What says which split a table is: its own name and, within a folder that was given, that of its folder."""
    folder = Path(table.where).parent
    within = not table.named and isinstance(given, str | Path) and folder != Path(given)
    inner = _FOLDER.fullmatch(folder.name) if within else None
    return [table.called or "", *([inner[1]] if inner else [])]


def without_tests(inputs: PairsLike, progress: Progress) -> Splits:
    """The same for a training, which leaves out what is for testing: that is said."""
    found = splits(inputs)
    if found.test:
        progress.say(f"held out as the test, and not trained on: {found.tests}")
    return found
