"""What a reward model is trained on, and the prompts that are held out to measure it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from factory.errors import InputError
from factory.exports.destinations.plan import held_out
from factory.progress import Progress, Silent
from factory.readers import How, PairsLike, PairSource
from factory.readers.inputs.opened import InputTable
from factory.readers.inputs.sources import as_list, find
from factory.readers.told import read_and_tell, tell_set_aside

IN_TEST = "prompt_in_test"
_HELD = re.compile(r"(test|validation|valid|val|dev|eval)([_.-].*)?", re.IGNORECASE)
"""What a split is called that is not for training, such as test_prefs."""


class Data(NamedTuple):
    """Pairs for training and for the test; no prompt is in both."""

    train: pl.DataFrame
    test: pl.DataFrame
    unread: int
    """Rows that are no pairs."""
    in_test: int
    """Pairs of the training side that were left out because their prompt is in the test."""


def read_data(
    inputs: PairsLike,
    test_share: float,
    seed: int,
    how: How | None = None,
    progress: Progress | None = None,
) -> Data:
    """Pairs of `inputs`, split by prompt; how they are read is said.

    The test split of a folder or a dataset, told by its name, is the test, and is said; without one, `test_share` of
    the prompts are drawn by seed. Raises InputError when no pair is left to train on.
    """
    parts = [part for given in as_list(inputs) for part in _parts(given)]
    how, shown = how or How(), progress or Silent()
    train = _collected([part.pairs for part in parts if not part.test], how, shown)
    pairs, unread = train.kept, train.unread
    tests = [part.pairs for part in parts if part.test]
    if tests:
        names = ", ".join(part.where for part in tests if isinstance(part, InputTable))
        shown.say(f"held out as the test, and not trained on: {names}")
        held = _collected(tests, how, shown)
        test, unread = held.kept, unread + held.unread
    else:
        # As one list (implode): polars takes a column of as many values for one to compare row by row.
        test = pairs.filter(pl.col("prompt_id").is_in(held_out(pairs["prompt_id"], test_share, seed).implode()))
    # Also where the data brings its own test split: a prompt in both would be measured by what was learnt by heart.
    kept = pairs.join(test.select("prompt_id").unique(), on="prompt_id", how="anti", maintain_order="left")
    if kept.is_empty():
        raise InputError("there is no pair to train on: no row of the files is one, or all prompts are in the test")
    return Data(kept, test, unread, pairs.height - kept.height if tests else 0)


class _Collected(NamedTuple):
    kept: pl.DataFrame
    unread: int


def _collected(pairs: list[PairSource], how: How, progress: Progress) -> _Collected:
    found = read_and_tell(pairs, how, progress).pairs
    kept, reasons = found.kept.collect(), found.reasons()
    tell_set_aside(reasons, progress)
    return _Collected(kept, sum(reasons.values()))


class _Part(NamedTuple):
    pairs: PairSource
    test: bool


def _parts(given: PairSource) -> Iterator[_Part]:
    """The tables of a folder or data set, where some are for testing by name; anything else as it is, for training."""
    tables = find(given)
    held = [_HELD.fullmatch(table.called or "") is not None for table in tables]
    if not any(held) or all(held):
        yield _Part(given, test=False)
        return
    for table, test in zip(tables, held, strict=True):
        yield _Part(table, test)
