"""Reference log-probabilities: taken from the pairs where they were measured, else measured once and kept on disk."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from factory.identity import digest
from factory.schema import logp_column
from factory.training.conditionals import Conditional
from factory.training.data import TrainingExample

PART_PAIRS = 512
"""Pairs measured between two writes: what a kill can cost."""


class ReferenceStore(NamedTuple):
    """Where measured log-probabilities are kept, by policy and data: parts of a table, keyed by token ids."""

    folders: tuple[Path, ...]
    """The first is written to; all are read."""
    needed: tuple[Conditional, ...]

    @property
    def columns(self) -> list[str]:
        """The schema's names of the conditionals: means per token."""
        return [logp_column(*conditional) for conditional in self.needed]

    def read(self) -> dict[str, tuple[float, ...]]:
        """What is kept: pi~ of each conditional by example key."""
        found: dict[str, tuple[float, ...]] = {}
        for folder in self.folders:
            for path in sorted(folder.glob("part-*.parquet")):
                rows = pl.read_parquet(path, glob=False).select("key", *self.columns).iter_rows()
                found.update({key: tuple(values) for key, *values in rows})
        return found

    def write(self, number: int, values: Mapping[str, tuple[float, ...]]) -> None:
        """Keep one part, whole or not at all."""
        folder = self.folders[0]
        folder.mkdir(parents=True, exist_ok=True)
        columns = zip(*values.values(), strict=True)
        table = pl.DataFrame({"key": list(values), **dict(zip(self.columns, map(list, columns), strict=True))})
        draft = folder / f"part-{number:05d}.draft"
        # Under a name that `read` does not look for, so that a kill leaves no half part to be taken for a whole one.
        table.write_parquet(draft)
        draft.rename(folder / f"part-{number:05d}.parquet")


def store_for(out: Path, policy: str, needed: Sequence[Conditional]) -> ReferenceStore:
    """The store under `out`, and the one an earlier training of the same policy left beside it."""
    name = f"reference-{digest([policy, [list(conditional) for conditional in needed]])[:12]}"
    return ReferenceStore((out / name, out.parent / name), tuple(needed))


def complete(
    examples: Iterable[TrainingExample],
    store: ReferenceStore,
    measure: Callable[[Sequence[TrainingExample]], Mapping[str, tuple[float, ...]]],
    write: bool = True,
) -> dict[str, tuple[float, ...]]:
    """pi~ of every example's conditionals by key: as measured before, else by `measure`, a part at a time.

    `measure` takes examples of distinct keys and answers for all of them. Every process of a distributed training makes
    the same calls; one of them writes.
    """
    known = {example.key: example.measured for example in examples if example.measured is not None}
    kept = store.read()
    missing: dict[str, TrainingExample] = {}
    for example in examples:
        if example.key in kept:
            known.setdefault(example.key, kept[example.key])
        elif example.key not in known:
            missing[example.key] = example
    # Long ones together: a part is then as even as its micro-batches.
    order = sorted(missing.values(), key=lambda example: (sum(example.counts), example.key))
    for start in range(0, len(order), PART_PAIRS):
        # In every process, also those that do not write: measuring exchanges values, and one that stayed away would
        # block all.
        values = measure(order[start : start + PART_PAIRS])
        if write:
            store.write(len(list(store.folders[0].glob("part-*.parquet"))), values)
        known.update(values)
    return known
