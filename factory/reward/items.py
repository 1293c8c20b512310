"""What is scored: the prompts of a benchmark's own files, or any pairs, in one form."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.errors import ConfigError, InputError
from factory.identity import Messages
from factory.progress import Progress, Silent
from factory.readers import How, PairsLike
from factory.readers.messages import is_text
from factory.readers.sources import as_list, open_inputs
from factory.readers.told import read_and_tell
from factory.reward import rewardbench, rewardbench2

BENCHMARKS = ("auto", "rewardbench", "rewardbench2", "pairs")
ALL = "all"
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


class ScoredItem(NamedTuple):
    """A prompt with replies of which the first `correct` are right."""

    id: str
    group: str
    """Subset of the benchmark, or the value of the column that groups pairs."""
    prompt: Messages
    replies: tuple[str, ...]
    correct: int


class ScoredItems(NamedTuple):
    """What one scoring is about."""

    benchmark: str
    items: list[ScoredItem]
    unread: int
    """Rows that are no pairs."""


def read_items(
    inputs: PairsLike | Sequence[PairsLike],
    benchmark: str,
    group: str | None,
    how: How | None = None,
    progress: Progress | None = None,
) -> ScoredItems:
    """The items of `inputs`, in the layout of a benchmark's official files, or as pairs in any layout.

    `auto` takes RewardBench 2 for rows with lists of replies, RewardBench where all subsets are its own, else pairs.
    `group` is a column of the pairs. Raises InputError for a file that is not in the layout.
    """
    if benchmark not in BENCHMARKS:
        raise ConfigError(f"benchmark {benchmark!r} is not known; take one of {', '.join(BENCHMARKS)}")
    found = _guess(inputs) if benchmark == "auto" and group is None else benchmark
    if group is not None and found in ("rewardbench", "rewardbench2"):
        raise ConfigError(f"{found} has its own subsets; leave the group out, or say that the benchmark is pairs")
    if found == "rewardbench":
        return ScoredItems(found, list(_rewardbench(inputs)), 0)
    if found == "rewardbench2":
        return ScoredItems(found, list(_rewardbench2(inputs)), 0)
    return _pairs(inputs, group, how or How(), progress or Silent())


def _guess(inputs: PairsLike | Sequence[PairsLike]) -> str:
    subsets: set[Any] = set()
    for opened in open_inputs(inputs):
        for frame in opened.frames:
            columns = frame.collect_schema()
            if _are_texts(columns.get("chosen")) and _are_texts(columns.get("rejected")):
                return "rewardbench2"
            if not is_text(columns.get("subset")):
                return "pairs"
            subsets |= set(frame.select(pl.col("subset").unique()).collect()["subset"])
    return "rewardbench" if subsets and subsets <= rewardbench.SUBSETS else "pairs"


def _are_texts(dtype: pl.DataType | None) -> bool:
    return isinstance(dtype, pl.List) and is_text(dtype.inner)


def _is_chat(dtype: pl.DataType | None) -> bool:
    if not isinstance(dtype, pl.List) or not isinstance(dtype.inner, pl.Struct):
        return False
    return {"role", "content"} <= dtype.inner.to_schema().keys()


def _rewardbench(inputs: PairsLike | Sequence[PairsLike]) -> Iterator[ScoredItem]:
    """Rows with prompt, chosen, rejected; the subset is that column or, as for the prior sets, the file."""
    for where, stem, frame in _frames(inputs):
        columns = frame.collect_schema()
        prompt, sides = columns.get("prompt"), [columns.get(side) for side in ("chosen", "rejected")]
        if not ((is_text(prompt) or _is_chat(prompt)) and all(is_text(side) for side in sides)):
            raise InputError(f"{where}: RewardBench has columns prompt, chosen and rejected, of text; check the file")
        for number, row in enumerate(frame.collect().iter_rows(named=True), 1):
            group = row["subset"] if row.get("subset") in rewardbench.SUBSETS else stem
            replies = (_text(row["chosen"], where, number), _text(row["rejected"], where, number))
            yield ScoredItem(str(row.get("id", number)), group, _prompt(row["prompt"], where, number), replies, 1)


def _rewardbench2(inputs: PairsLike | Sequence[PairsLike]) -> Iterator[ScoredItem]:
    for where, _, frame in _frames(inputs):
        columns = frame.collect_schema()
        lists = _are_texts(columns.get("chosen")) and _are_texts(columns.get("rejected"))
        if not (lists and is_text(columns.get("prompt")) and is_text(columns.get("subset")) and "id" in columns):
            raise InputError(
                f"{where}: RewardBench 2 has the columns id, subset, prompt, and lists of text chosen and rejected; "
                "check the file"
            )
        for number, row in enumerate(frame.collect().iter_rows(named=True), 1):
            chosen, rejected = row["chosen"] or [], row["rejected"] or []
            group, name = row["subset"], str(row["id"])
            if group not in rewardbench2.SUBSETS:
                raise InputError(f"{where}: row {number}: RewardBench 2 has no subset {group!r}; check the file")
            if group == rewardbench2.TIES and name.partition(":")[0] not in ("ref", "tied"):
                raise InputError(f"{where}: row {number}: in Ties an id is ref:N or tied:N, not {name!r}; check it")
            if not chosen or not rejected:
                raise InputError(f"{where}: row {number}: chosen or rejected is empty; check the file")
            replies = tuple(_text(reply, where, number) for reply in (*chosen, *rejected))
            yield ScoredItem(name, group, _prompt(row["prompt"], where, number), replies, len(chosen))


def _frames(inputs: PairsLike | Sequence[PairsLike]) -> Iterator[tuple[str, str, pl.LazyFrame]]:
    """Name, subset by file name, and rows of each table; of a raw and a filtered split in a folder the filtered one."""
    for given in as_list(inputs):
        tables = open_inputs(given)
        stems = [_SHARD.sub("", opened.stem or ALL) for opened in tables]
        for stem, opened in zip(stems, tables, strict=True):
            if "filtered" in stems and stem != "filtered":
                continue
            if opened.unread.height:
                raise InputError(f"{opened.where}: {opened.unread.height} rows cannot be read; check the file")
            for frame in opened.frames:
                yield opened.where, stem, frame


def _text(value: Any, where: str, number: int) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: row {number}: a reply is missing; check the file")
    return value


def _prompt(value: Any, where: str, number: int) -> Messages:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not value or any(turn is None or turn["content"] is None for turn in value):
        raise InputError(f"{where}: row {number}: the prompt is missing; check the file")
    return [{"role": turn["role"], "content": turn["content"]} for turn in value]


def _pairs(inputs: PairsLike | Sequence[PairsLike], group: str | None, how: How, progress: Progress) -> ScoredItems:
    split = read_and_tell(inputs, how, progress).pairs
    table = split.kept.collect()
    if group is not None and group not in table.columns:
        raise ConfigError(f"the pairs have no column {group!r} to group by; they have {', '.join(table.columns)}")
    items = [
        ScoredItem(
            row["pair_id"],
            ALL if group is None else str(row[group]),
            row["prompt"],
            (row["chosen"], row["rejected"]),
            1,
        )
        for row in table.iter_rows(named=True)
    ]
    return ScoredItems("pairs", items, split.rejected.collect().height)
