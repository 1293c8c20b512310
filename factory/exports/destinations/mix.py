"""Mixing pairs with those of other files: in what proportion, without doubles, without benchmark prompts."""

from collections import Counter
from collections.abc import Sequence
from math import fsum
from pathlib import Path
from typing import NamedTuple

import polars as pl

import filters
from factory.config import Mix
from factory.errors import ConfigError
from factory.exports.facts.public import public_name
from factory.progress import Progress, Silent
from factory.readers import how_to_read
from factory.readers.told import read_and_tell, tell_remarks
from factory.schema import REJECTED, LazySplit
from filters.base import Filter
from filters.funnel import apply
from filters.hash_draw import hash_draw_expr

_PART = "__part"


class Mixed(NamedTuple):
    """Pairs of several origins."""

    pairs: pl.LazyFrame
    counts: dict[str, int]
    """Other file to the pairs taken from it."""


def mix(
    pairs: pl.LazyFrame,
    others: Sequence[Mix],
    *,
    decontaminate: Sequence[str] = (),
    seed: int = 42,
    progress: Progress | None = None,
) -> Mixed:
    """`pairs` followed by those taken from `others`, without pairs that share text with a prompt of `decontaminate`.

    The latter are files of benchmarks. Of doubles over all files together one stays; without `others` nothing is
    compared. A share is one of the whole mix; the pairs that make
    it up are drawn by seed and pair. ConfigError when the shares leave no room for the rest.
    """
    said = progress or Silent()
    # fsum, as the plain sum of 0.1, 0.2 and 0.7 stops short of 1 and would leave room for next to nothing.
    room = 1 - fsum(other.share or 0 for other in others)
    if room <= 0:
        raise ConfigError("export.mix: the shares add up to 1 or more and leave nothing of your own pairs")
    hows = [how_to_read({}, other.columns) for other in others]
    splits = [read_and_tell(one.path, how, said, one.source).pairs.split for one, how in zip(others, hows, strict=True)]
    marked = [frame.with_columns(pl.lit(n).alias(_PART)) for n, frame in enumerate([pairs, *(s.kept for s in splits)])]
    # relaxed: what is a whole number in one file may be a fraction in another.
    together = pl.concat(marked, how="diagonal_relaxed")
    rejected = pl.concat([REJECTED.empty().lazy(), *(split.rejected for split in splits)], how="diagonal_relaxed")
    doubles = filters.build([{"use": "duplicate"}]) if others else ()
    benchmarks = without_benchmarks(decontaminate)
    tell_remarks(benchmarks, said)
    found = apply(LazySplit(together, rejected), (*doubles, *benchmarks))
    for step in found.funnel.steps:
        reasons = ", ".join(f"{reason} {n}" for reason, n in step.reasons.items())
        said.say(
            f"mix: {step.filter} keeps {step.kept} pairs, drops {step.rejected}{f' ({reasons})' if reasons else ''}"
        )
    return _drawn(found.kept, others, room, seed, said)


def without_benchmarks(files: Sequence[str]) -> tuple[Filter, ...]:
    """The filter that drops pairs which share text with a prompt of `files`; none without files.

    Its fingerprint holds their prompts. ConfigError when one is not there.
    """
    for path in files:
        if not Path(path).is_file():
            raise ConfigError(f"export.decontaminate: there is no file {path}; check the path")
    return filters.build([{"use": "decontaminate", "files": list(files)}]) if files else ()


def _drawn(kept: pl.LazyFrame, others: Sequence[Mix], room: float, seed: int, said: Progress) -> Mixed:
    coin = hash_draw_expr(f"mix {seed}")
    narrow = kept.select(_PART, coin.alias("coin")).collect(engine="streaming")
    sizes = [narrow.filter(pl.col(_PART) == part).height for part in range(len(others) + 1)]
    whole = sizes[0] + sum(size for size, other in zip(sizes[1:], others, strict=True) if other.share is None)
    wanted, counts = [pl.col(_PART) == 0], Counter[str]()
    for part, (other, there) in enumerate(zip(others, sizes[1:], strict=True), 1):
        asked = there if other.share is None else round(other.share * whole / room)
        take, name = min(there, asked), other.source or public_name(other.path)
        counts[name] += take
        said.say(f"mix: {take} pairs of {there} from {name}{f', where its share asks for {asked}' * (take < asked)}")
        if take:
            # The highest of so many lowest coins: the pairs can then be chosen as they stream by, without a join.
            last = narrow.filter(pl.col(_PART) == part)["coin"].sort()[take - 1]
            wanted.append((pl.col(_PART) == part) & (coin <= last))
    return Mixed(kept.filter(pl.any_horizontal(wanted)).drop(_PART), dict(counts))
