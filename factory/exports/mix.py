"""Mixing pairs with those of other files: in what proportion, without doubles, without benchmark prompts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

import filters
from factory.config import Mix
from factory.errors import ConfigError
from factory.exports.public import public_name
from factory.progress import Progress, Silent
from factory.readers import read_pairs
from factory.schema import LazySplit
from filters.coin import toss_expr
from filters.funnel import apply

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
    """`pairs` followed by those taken from `others`.

    Over all of them together, one of each set of doubles stays, and pairs that share text with a prompt of the
    benchmark files `decontaminate` are dropped. A share is one of the whole mix; the pairs that make
    it up are drawn by seed and pair. ConfigError when the shares leave no room for the rest.
    """
    said = progress or Silent()
    room = 1 - sum(other.share or 0 for other in others)
    if room <= 0:
        raise ConfigError("export.mix: the shares add up to 1 or more and leave nothing of your own pairs")
    splits = [read_pairs(other.path, other.source) for other in others]
    marked = [frame.with_columns(pl.lit(n).alias(_PART)) for n, frame in enumerate([pairs, *(s.kept for s in splits)])]
    together = pl.concat(marked, how="diagonal_relaxed")
    rejected = pl.concat([split.rejected for split in splits], how="diagonal_relaxed")
    blocks: list[dict[str, Any]] = [{"use": "duplicate"}]
    blocks += [{"use": "decontaminate", "files": list(decontaminate)}] if decontaminate else []
    found = apply(LazySplit(together, rejected), filters.build(blocks))
    for step in found.funnel.steps:
        reasons = ", ".join(f"{reason} {n}" for reason, n in step.reasons.items())
        said.say(
            f"mix: {step.filter} keeps {step.kept} pairs, drops {step.rejected}{f' ({reasons})' if reasons else ''}"
        )
    return _drawn(found.kept, others, room, seed, said)


def _drawn(kept: pl.LazyFrame, others: Sequence[Mix], room: float, seed: int, said: Progress) -> Mixed:
    coin = toss_expr(f"mix {seed}")
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
            last = narrow.filter(pl.col(_PART) == part)["coin"].sort()[take - 1]
            wanted.append((pl.col(_PART) == part) & (coin <= last))
    return Mixed(kept.filter(pl.any_horizontal(wanted)).drop(_PART), dict(counts))
