"""What a reward model is trained on, and the prompts that are held out to measure it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from factory.errors import InputError
from factory.exports.destinations.plan import held_out
from factory.exports.destinations.write import is_shard
from factory.progress import Progress, Silent
from factory.readers import How, PairsLike, PairSource
from factory.readers.inputs.sources import as_list
from factory.readers.told import read_and_tell

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

    The test split of an exported folder or a dataset is the test; without one, `test_share` of the prompts are drawn by
    seed. Raises InputError when no pair is left to train on.
    """
    parts = [part for given in as_list(inputs) for part in _parts(given)]
    how, shown = how or How(), progress or Silent()
    train = read_and_tell([part.pairs for part in parts if not part.test], how, shown).pairs
    tests = [part.pairs for part in parts if part.test]
    pairs, unread = train.kept.collect(), train.rejected.collect().height
    if tests:
        held = read_and_tell(tests, how, shown).pairs
        test, unread = held.kept.collect(), unread + held.rejected.collect().height
    else:
        # As one list (implode): polars takes a column of as many values for one to compare row by row.
        test = pairs.filter(pl.col("prompt_id").is_in(held_out(pairs["prompt_id"], test_share, seed).implode()))
    # Also where the data brings its own test split: a prompt in both would be measured by what was learnt by heart.
    kept = pairs.join(test.select("prompt_id").unique(), on="prompt_id", how="anti", maintain_order="left")
    if kept.is_empty():
        raise InputError("there is no pair to train on: no row of the files is one, or all prompts are in the test")
    return Data(kept, test, unread, pairs.height - kept.height if tests else 0)


class _Part(NamedTuple):
    pairs: PairSource
    test: bool


def _parts(given: PairSource) -> Iterator[_Part]:
    """An exported folder as its training and test files; anything else as it is, for training."""
    if isinstance(given, Mapping):
        yield from (_Part(pairs, test=split == "test") for split, pairs in given.items())
        return
    folder = Path(given) if isinstance(given, str | Path) else None
    shards = _shards(folder) if folder is not None and folder.is_dir() else []
    if not any(path.name.startswith("train") for path in shards):
        yield _Part(given, test=False)
        return
    for path in shards:
        yield _Part(path, test=path.name.startswith("test"))


def _shards(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in found if is_shard(path.relative_to(folder).as_posix())]
