"""The funnel: filters one after another, over pairs that need not fit into memory.

Pass one streams over the texts and leaves every filter's measures in a narrow scratch file. The filters decide on that,
each among the rows that those before it kept. Two more passes then write the kept rows and the rejected ones. Rows keep
the order of the input; which rows are kept does not depend on it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl

from factory.errors import ConfigError, InputError, first_line
from factory.files.streaming import compact, height, small_morsels
from factory.files.table_file import ROW_GROUP, sink
from factory.schema import REJECTED, LazySplit
from filters import votes
from filters.base import ROW, Filter
from filters.confounds import confounds, records, said
from filters.decisions import Decisions, Step
from filters.measure import Measures

Judgments = pl.DataFrame | pl.LazyFrame
Ask = Callable[[pl.LazyFrame], pl.LazyFrame]
"""Judges the pairs it is given, those that are left when the first filter needs votes; gives `votes.by_pair`."""

FLAGS = "flags"
"""Column of kept pairs with what filters remarked on them; only there when they did."""
_INDEX = "__row__"
_SCRATCH = ".funnel"
_MORSEL = 4_000
"""Rows that Python functions are given at a time, at some milliseconds a call: with 2,000, 4,000 and 10,000 a million
pairs take 23, 20 and 20 s on two cores, in 0.75, 1.2 and 1.9 GB."""
_SPARSE = 0.5
"""Where a smaller share of the rows is written than this, their texts are copied out of those of all."""


class Funnel(NamedTuple):
    """How many pairs came in, and what each step left of them."""

    input: int
    steps: tuple[Step, ...]
    kept: int
    confounds: tuple[dict[str, Any], ...] = ()
    """What of the form of the kept replies predicts chosen, see `filters.confounds.records`; known once written."""
    more: Mapping[str, Any] = MappingProxyType({})
    """What else funnel.json holds, such as what judges are like."""

    @property
    def said(self) -> list[str]:
        """A sentence for each confound beyond chance."""
        return said(self.confounds)

    def to_dict(self) -> dict[str, Any]:
        """The content of funnel.json."""
        steps = [step._asdict() | {"reasons": dict(step.reasons), "flags": dict(step.flags)} for step in self.steps]
        for step in steps:
            for name in ("flagged", "flags"):
                if not step[name]:
                    del step[name]
        own = {"input": self.input, "steps": steps, "kept": self.kept, "confounds": list(self.confounds)}
        return {**own, **self.more}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Funnel":
        """From the content of funnel.json."""
        steps = tuple(Step(**step) for step in value["steps"])
        more = {name: known for name, known in value.items() if name not in cls._fields}
        return cls(value["input"], steps, value["kept"], tuple(value.get("confounds", ())), more)

    @classmethod
    def read(cls, path: Path) -> "Funnel":
        """From a funnel.json."""
        return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))


class Filtered(NamedTuple):
    """Pairs after a funnel, not computed yet."""

    kept: pl.LazyFrame
    """The rows as they came, and `flags` where a filter remarked on one it kept."""
    rejected: pl.LazyFrame
    """The rows as they came, behind the REJECTED columns; those that could not be read first."""
    funnel: Funnel


@small_morsels(_MORSEL)
def run_funnel(
    pairs: LazySplit, filters: Sequence[Filter], judgments: Judgments | Ask | None = None, out: Path | None = None
) -> Funnel:
    """Send every pair to OUT/kept.parquet or OUT/rejected.parquet, and the counts to OUT/funnel.json, written last.

    `judgments` is a table of votes, or a function that judges what is left when the first filter needs votes. Without
    `out` nothing is written. `pairs` is read three times and must give the same rows in the same order each time;
    InputError where it does not. ConfigError where a filter needs votes and there are none.
    """
    if out is None:
        return apply(pairs, filters, judgments).funnel
    out.mkdir(parents=True, exist_ok=True)
    scratch = out / _SCRATCH
    rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        # Read once, and alone: beside the pairs polars reads all files of both at the same time.
        sink(pairs.rejected, scratch / "unread.parquet", row_group_size=ROW_GROUP)
        aside = pl.scan_parquet(scratch / "unread.parquet", glob=False)
        found, fingerprint = _apply(pairs._replace(rejected=aside), filters, judgments, scratch)
        funnel = _write(found, fingerprint, scratch)
        # The counts last: where they are, both tables are whole.
        for name in ("kept.parquet", "rejected.parquet", "funnel.json"):
            (scratch / name).replace(out / name)
    finally:
        rmtree(scratch)
    return funnel


def apply(pairs: LazySplit, filters: Sequence[Filter], judgments: Judgments | Ask | None = None) -> Filtered:
    """`run_funnel` without files: decided now, the rows themselves to be collected or written by the caller."""
    with TemporaryDirectory(prefix="sso-factory-") as scratch:
        return _apply(pairs, filters, judgments, Path(scratch))[0]


def _apply(
    pairs: LazySplit, filters: Sequence[Filter], judgments: Judgments | Ask | None, scratch: Path
) -> tuple[Filtered, int]:
    """The filtered pairs, and a fingerprint of the kept ones' ids, to be met again in what is written."""
    measures = Measures(pairs.kept, filters, scratch)
    ledger = Decisions(measures.size)
    said: pl.LazyFrame | None = None
    for position, one in enumerate(filters):
        # A filter sees those alone that are left: what is gone neither balances nor is anybody's duplicate.
        rows = measures.of(position).filter(ledger.alive(pl.col(ROW)))
        if one.needs_votes:
            # Once for all filters that need votes: they must decide from the same ones, and each answer is paid for.
            said = _judged(pairs.kept, ledger, judgments, one.name) if said is None else said
            rows = votes.join(rows, said)
        ledger.record(one.name, _found(one, one.decide(rows, measures.look), ledger.kept))
    steps = (*_early_steps(pairs.rejected, measures.size), *ledger.steps)
    total = steps[0].kept + steps[0].rejected if steps else measures.size
    kept = measures.scan().filter(ledger.alive(pl.col(ROW)))
    return Filtered(*_rows(pairs, ledger), Funnel(total, steps, ledger.kept)), _fingerprint(kept)


def _found(one: Filter, judged: pl.LazyFrame, given: int) -> pl.DataFrame:
    """[row, reason, detail, flag] of the rows that a filter drops or remarks on, of those `given` to it.

    Raises ConfigError where another package's filter gives no reasons, asks for a column that is not there, or leaves
    rows out, which would be kept.
    """
    try:
        there = judged.collect_schema()
    except pl.exceptions.ColumnNotFoundError as error:
        raise ConfigError(f"the filter {one.name} asks for a column that no pair has: {first_line(error)}") from error
    if "reason" not in there:
        raise ConfigError(
            f"the filter {one.name} gives no column reason, which says of each pair why it is dropped, or null"
        )
    # Counted of others alone, as it takes a pass.
    back = given if type(one).__module__.startswith(f"{__package__}.") else height(judged)
    if back != given:
        raise ConfigError(f"the filter {one.name} gives {back:,} of {given:,} pairs; a pair that it drops has a reason")
    texts = {name: pl.col(name) if name in there else pl.lit(None) for name in ("reason", "detail", "flag")}
    found = judged.select(ROW, **{name: text.cast(pl.String) for name, text in texts.items()})
    return found.filter(~pl.all_horizontal(pl.col("reason", "detail").is_null())).collect(engine="streaming")


def _judged(pairs: pl.LazyFrame, ledger: Decisions, judgments: Judgments | Ask | None, name: str) -> pl.LazyFrame:
    """What was said of each pair in the judgments given, or asked for now about the pairs that are left."""
    if judgments is None:
        raise ConfigError(f"the filter {name} needs votes: give judges, or judgments recorded earlier")
    if isinstance(judgments, pl.DataFrame | pl.LazyFrame):
        return votes.by_pair(judgments, votes.judges_of(judgments))
    # By row number, not by id: one id may be there twice, with one of the rows dropped.
    live = _picked(pairs.with_row_index(_INDEX), ledger.alive(pl.col(_INDEX)), ledger.kept_share)
    return judgments(live.drop(_INDEX))


def _rows(pairs: LazySplit, ledger: Decisions) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """The rows kept, and those rejected with whoever did it."""
    index = pl.col(_INDEX)
    numbered = pairs.kept.with_row_index(_INDEX)
    alive = ledger.alive(index)
    share = ledger.kept_share
    kept = _picked(numbered, alive, share).with_columns(ledger.flags(index, FLAGS)).drop(_INDEX)
    rejected = _picked(numbered, ~alive, 1 - share).with_columns(ledger.verdict(index)).drop(_INDEX)
    front = list(REJECTED.columns)
    # Relaxed, as rows set aside at reading have columns of their own, and null columns have no type yet.
    rejected = pl.concat([pairs.rejected, rejected], how="diagonal_relaxed")
    return kept, rejected.select(*front, pl.exclude(front))


def _picked(rows: pl.LazyFrame, which: pl.Expr, share: float) -> pl.LazyFrame:
    """The rows that are picked; `share` of all are, and a copy costs less than what few of them would hold."""
    picked = rows.filter(which)
    return compact(picked) if share < _SPARSE else picked


def _early_steps(rejected: pl.LazyFrame, left: int) -> list[Step]:
    """What was rejected before any filter, such as at reading: a step for each who did it; the last left `left`."""
    counts = rejected.group_by("filter", "reason").len().sort("filter", "reason").collect(engine="streaming")
    steps: list[Step] = []
    for (name,), rows in reversed(list(counts.group_by("filter", maintain_order=True))):
        kept = steps[0].kept + steps[0].rejected if steps else left
        steps.insert(0, Step(str(name), kept, int(rows["len"].sum()), dict(rows.select("reason", "len").iter_rows())))
    return steps


def _write(found: Filtered, fingerprint: int, folder: Path) -> Funnel:
    """Both tables (one by one: together they fill memory), checked against what was decided; then the counts."""
    files = [folder / "kept.parquet", folder / "rejected.parquet"]
    for frame, path in zip(found[:2], files, strict=True):
        sink(frame, path, compression="snappy", row_group_size=ROW_GROUP, sync_on_close="all")
    kept, rejected = (pl.scan_parquet(path, glob=False) for path in files)
    sizes = [frame.select(pl.len()).collect().item() for frame in (kept, rejected)]
    if sizes != [found.funnel.kept, found.funnel.input - found.funnel.kept] or _fingerprint(kept) != fingerprint:
        raise InputError("the pairs changed while they were filtered: read them from files that nobody writes to")
    funnel = found.funnel._replace(confounds=tuple(records(confounds(kept))))
    text = json.dumps(funnel.to_dict(), indent=2, ensure_ascii=False)
    (folder / "funnel.json").write_text(text + "\n", encoding="utf-8")
    return funnel


def _fingerprint(pairs: pl.LazyFrame) -> int:
    """A number that depends on the pairs' ids, whatever their order."""
    # A sum, which wraps and does not care for the order in which a stream adds.
    total = pairs.select(pl.col("pair_id").hash().cast(pl.UInt64).sum()).collect(engine="streaming").item()
    return int(total)
