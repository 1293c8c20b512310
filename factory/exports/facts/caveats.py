"""What a reader of a run must know of its kept pairs before using them, in sentences."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from factory.config import BUNDLED_MODEL
from factory.schema import REPLIES

_MADE_UP = "no model was asked: the scripted engine makes replies and votes up, which shows the process alone"
_SMALL = "the bundled model has 135 million parameters: this shows the process, not what the data is worth"


def caveats(policy: Mapping[str, Any], engine: Mapping[str, Any], kept: pl.LazyFrame) -> list[str]:
    """One sentence for each thing that is so; none for most runs.

    `policy` and `engine` are the blocks of the run's configuration, `kept` is a pairs table.
    """
    inner = engine.get("engine") or engine
    small = [_SMALL] if policy.get("model") == BUNDLED_MODEL else []
    return [*_truncated(kept), *([_MADE_UP] if inner.get("kind") == "scripted" else small)]


def _truncated(kept: pl.LazyFrame) -> list[str]:
    known = kept.collect_schema()
    sides = [f"finish_{reply}" for reply in REPLIES if reply != "original" and f"finish_{reply}" in known]
    if not sides:
        return []
    cut = pl.any_horizontal(pl.col(sides) == "length").fill_null(value=False).sum()
    pairs, ended = kept.select(pl.len(), cut).collect(engine="streaming").row(0)
    if not ended:
        return []
    return [
        f"{ended:,} of {pairs:,} kept pairs hold a reply that the length limit cut, so that a reward model may learn "
        "where replies were cut: raise sampling.max_new_tokens, or drop them with the filter truncated"
    ]
