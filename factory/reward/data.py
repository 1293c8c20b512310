"""What a reward model is trained on, and the prompts that are held out to measure it."""

from typing import NamedTuple

import polars as pl

from factory.errors import InputError
from factory.exports.destinations.plan import held_out
from factory.progress import Progress, Silent
from factory.readers import How, PairsLike
from factory.readers.inputs.splits import without_tests
from factory.readers.told import read_and_tell, tell_set_aside

IN_TEST = "prompt_in_test"


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
    how, shown = how or How(), progress or Silent()
    given = without_tests(inputs, shown)
    pairs, unread = collected(given.train, how, shown)
    if given.test:
        test, more = collected(given.test, how, shown)
        unread += more
    else:
        # As one list (implode): polars takes a column of as many values for one to compare row by row.
        test = pairs.filter(pl.col("prompt_id").is_in(held_out(pairs["prompt_id"], test_share, seed).implode()))
    # Also where the data brings its own test split: a prompt in both would be measured by what was learnt by heart.
    kept = pairs.join(test.select("prompt_id").unique(), on="prompt_id", how="anti", maintain_order="left")
    if kept.is_empty():
        raise InputError("there is no pair to train on: no row of the files is one, or all prompts are in the test")
    return Data(kept, test, unread, pairs.height - kept.height if given.test else 0)


def collected(inputs: PairsLike, how: How, progress: Progress) -> tuple[pl.DataFrame, int]:
    """The pairs of `inputs`, and how many rows are none; how they are read is said."""
    found = read_and_tell(inputs, how, progress).pairs
    kept, reasons = found.kept.collect(), found.reasons()
    tell_set_aside(reasons, progress)
    return kept, sum(reasons.values())
