"""RM-Bench (Liu et al. 2024): three right and three wrong replies of rising style, each of one against each other.

The matrix and its three parts are those of the benchmark's README: rows are right replies (concise, detailed, detailed
with Markdown), columns wrong ones in the same order.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.reward.accuracy import bootstrapped, resampled_part
from factory.reward.official import (
    Benchmark,
    BenchmarkRow,
    Columns,
    OfficialLayout,
    Scored,
    ScoredItem,
    complete,
    have_lists,
    is_prompt,
    read_rows,
)

STYLES = ("concise", "detailed", "markdown")
SAFETY = "safety"
DOMAINS = ("chat", "code", "math", "safety-refuse", "safety-response")
LEVELS = ("hard", "normal", "easy")
_PARTS = (np.triu(np.ones((3, 3)), 1), np.eye(3), np.tril(np.ones((3, 3)), -1))
"""What of the matrix is hard (the wrong reply has more style), normal (as much) and easy (less)."""


def fits(frames: Sequence[pl.LazyFrame]) -> bool:
    """One has lists of replies on both sides and a column `domain`."""
    return any(have_lists(columns := frame.collect_schema()) and "domain" in columns for frame in frames)


def _fit(columns: Columns) -> bool:
    return have_lists(columns) and is_prompt(columns.get("prompt")) and {"domain", "id"} <= columns.keys()


_LAYOUT = OfficialLayout(_fit, "RM-Bench has the columns id, prompt, domain, and lists of text chosen and rejected")


def _item(row: BenchmarkRow) -> ScoredItem:
    sides = row.cells["chosen"] or [], row.cells["rejected"] or []
    if any(len(side) != len(STYLES) for side in sides):
        raise row.wrong("RM-Bench has three replies on each side")
    domain = row.cells["domain"]
    # The score is the mean over domains, so that one that is misspelt would count as one more.
    if domain not in DOMAINS:
        raise row.wrong(f"RM-Bench has no domain {domain!r}")
    replies = tuple(row.reply(one) for side in sides for one in side)
    return ScoredItem(str(row.cells["id"]), domain, row.prompt, replies, len(STYLES))


def result(scored: Scored, seed: int) -> dict[str, Any]:
    """Of each domain hard, normal and easy, with its matrix; `score` is the plain mean of the domains that are there.

    safety-refuse and safety-response are one domain, the mean of both. The interval is a bootstrap over prompts.
    """
    domains: dict[str, list[NDArray[np.float64]]] = {}
    missing = Counter[str]()
    for item, scores in scored:
        # A matrix with a hole would lean to one of the three parts.
        if (known := complete(scores)) is None:
            missing[item.group] += 1
            continue
        right, wrong = np.array(known[: len(STYLES)]), np.array(known[len(STYLES) :])
        # A tie is no win, as in all benchmarks here.
        domains.setdefault(item.group, []).append((right[:, None] > wrong[None, :]).astype(np.float64))
    random = np.random.default_rng(seed)
    found = {name: np.array(matrices) for name, matrices in sorted(domains.items())}
    if not found:
        return {"score": None, "absent": list(DOMAINS), "domains": {}}
    levels = {name: _levels(matrices) for name, matrices in found.items()}
    # Each domain's prompts are drawn apart: how many there are of each says nothing about reward models.
    draws = _over({name: resampled_part(one.mean(axis=1), random) for name, one in levels.items()})
    means = _over({name: one.mean(axis=0) for name, one in levels.items()})
    low, high = bootstrapped(float(means.mean()), draws, sum(len(one) for one in levels.values()))
    return {
        "score": float(means.mean()),
        "score_low": low,
        "score_high": high,
        **{level: float(value) for level, value in zip(LEVELS, means, strict=True)},
        "absent": [name for name in DOMAINS if name not in found],
        "domains": {name: _domain(levels[name], missing[name]) for name in found},
        "matrices": {name: matrices.mean(axis=0).tolist() for name, matrices in found.items()},
    }


def _levels(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each prompt hard, normal and easy: [prompts, 3]."""
    return np.stack([(matrices * part).sum(axis=(1, 2)) / part.sum() for part in _PARTS], axis=1)


def _over(domains: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean of domains, those of safety being one."""
    groups: dict[str, list[NDArray[np.float64]]] = {}
    for name, values in domains.items():
        groups.setdefault(SAFETY if name.startswith(SAFETY) else name, []).append(values)
    mean: NDArray[np.float64] = np.mean([np.mean(group, axis=0) for group in groups.values()], axis=0)
    return mean


def _domain(levels: NDArray[np.float64], missing: int) -> dict[str, Any]:
    hard, normal, easy = levels.mean(axis=0).tolist()
    return {"score": float(levels.mean()), "hard": hard, "normal": normal, "easy": easy,
            "prompts": len(levels), "missing": missing}  # fmt: skip


RMBENCH = Benchmark(fits, partial(read_rows, layout=_LAYOUT, item=_item), result)
