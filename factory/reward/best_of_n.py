"""Many replies to a prompt of known quality, as in PPE's files: what the best of n by the reward model is worth.

PPE (Frick et al. 2024) has the columns prompt, response_1, response_2, … and scores, a list that says of each whether
it is right. Any numbers serve.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from math import comb, isfinite, sqrt
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.readers.cells.values import json_in
from factory.readers.messages import is_text
from factory.reward.accuracy import bootstrapped, resampled
from factory.reward.official import (
    ALL,
    Benchmark,
    BenchmarkRow,
    Columns,
    ItemsAsked,
    OfficialLayout,
    Scored,
    ScoredItem,
    ScoredItems,
    by_group,
    complete,
    is_prompt,
    read_rows,
)
from factory.statistics.shares import CONFIDENCE, student_quantile

_REPLY = re.compile(r"response_(\d+)")
MOST = 1 << 10


_Known = Sequence[tuple[ScoredItem, tuple[float, ...]]]
"""Prompts of which every reply has a score."""


def _replies(columns: Mapping[str, pl.DataType]) -> list[str]:
    """The columns of replies, in order."""
    numbered = [
        (int(found[1]), name) for name in columns if (found := _REPLY.fullmatch(name)) and is_text(columns[name])
    ]
    # By number: response_10 comes after response_9.
    return [name for _, name in sorted(numbered)]


def _is_quality(dtype: pl.DataType | None) -> bool:
    """A list of numbers, of such as texts, or of true and false; or text: a list in JSON's way, as files have it."""
    inner = pl.Series(dtype=dtype.inner).dtype if isinstance(dtype, pl.List) else None
    return is_text(dtype) or (inner is not None and (is_text(inner) or inner == pl.Boolean or inner.is_numeric()))


def fits(frames: Sequence[pl.LazyFrame]) -> bool:
    """One has prompt, two columns of replies or more, and a list of numbers `scores`."""
    return any(_fit(frame.collect_schema()) for frame in frames)


def _fit(columns: Columns) -> bool:
    return is_prompt(columns.get("prompt")) and len(_replies(columns)) > 1 and _is_quality(columns.get("scores"))


_LAYOUT = OfficialLayout(
    _fit, "best of n has the columns prompt, response_1, response_2, … of text, and scores, a number for each"
)


def read(asked: ItemsAsked) -> ScoredItems:
    """Every prompt with its replies, the best first; replies without a text or a score are left out, and counted."""
    left = Counter[str]()
    found = read_rows(asked, _LAYOUT, lambda row: _item(row, asked.group, left))
    for file, count in left.items():
        asked.progress.say(f"{file}: {count:,} replies without a text or a score are left out")
    return found


def _item(row: BenchmarkRow, group: str | None, left: Counter[str]) -> ScoredItem:
    cells = row.cells
    texts, said = [cells[name] for name in _replies(row.columns)], _numbers(cells["scores"])
    if said is None:
        raise row.wrong("scores is no list of numbers")
    if len(said) != len(texts):
        raise row.wrong(f"{len(said)} scores for {len(texts)} replies")
    known = [(text, value) for text, value in zip(texts, said, strict=True)
             if text is not None and value is not None and isfinite(value)]  # fmt: skip
    if not known:
        raise row.wrong("no reply has a score")
    if len(known) < len(texts):
        left[row.file] += len(texts) - len(known)
    ordered = sorted(known, key=lambda one: -one[1])
    quality = tuple(value for _, value in ordered)
    name = "/".join(str(cells[part]) for part in ("question_id", "model_name") if part in cells) or str(row.number)
    return ScoredItem(
        name,
        ALL if group is None else str(cells[group]),
        row.prompt,
        tuple(text for text, _ in ordered),
        quality.count(quality[0]),
        quality,
    )


def _numbers(value: Any) -> list[float | None] | None:
    said = json_in(value) if isinstance(value, str) else value
    if not isinstance(said, list):
        return None
    try:
        # A text may be a number; float takes no other.
        return [None if one is None else float(one) for one in said]
    except (TypeError, ValueError):
        return None


def best_of(quality: Sequence[float], scores: Sequence[float], n: int) -> float:
    """Expected quality of the highest scoring of n of the candidates, drawn without replacement.

    The candidate of rank i (from 0) is it with probability C(N - 1 - i, n - 1) / C(N, n); candidates of equal scores
    share theirs.
    """
    order = sorted(zip(scores, quality, strict=True), key=lambda one: -one[0])
    total, rank, size = 0.0, 0, len(order)
    for _, tied in groupby(order, key=lambda one: one[0]):
        alike = [value for _, value in tied]
        chance = sum(comb(size - 1 - place, n - 1) for place in range(rank, rank + len(alike)))
        total += sum(alike) / len(alike) * chance / comb(size, n)
        rank += len(alike)
    return total


def told_apart(quality: Sequence[float], scores: Sequence[float]) -> float | None:
    """Share of pairs of unlike quality in which the better one scores higher, a tie being half; None without one."""
    good, said = np.array(quality), np.array(scores)
    # [replies, replies], so that every two are compared at once.
    better = good[:, None] > good[None, :]
    won = (said[:, None] > said[None, :]) + 0.5 * (said[:, None] == said[None, :])
    return float(won[better].mean()) if better.any() else None


def result(scored: Scored, seed: int) -> dict[str, Any]:
    """Of all prompts and of each group: `pair_accuracy`, and for n = 1, 2, 4, … what the best of n is worth.

    `by_model` is the mean quality of the reply that scores highest, `at_best` that of the best of them; n = 1 is the
    mean quality of all. Prompts with fewer replies than n have no part in it. Intervals are over prompts: where every
    quality lies between 0 and 1, as of a share; else Student's, and None of one prompt.
    """
    groups = by_group([(item, known) for item, scores in scored if (known := complete(scores)) is not None])
    random = np.random.default_rng(seed)
    every = [one for group in groups.values() for one in group]
    shown = {name: _measures(groups[name], random) for name in sorted(groups)}
    return {
        **_measures(every, random),
        "missing": len(scored) - len(every),
        "best_of": _curve(every, random),
        "groups": {} if list(groups) in ([], [ALL]) else shown,
    }


def _measures(group: _Known, random: np.random.Generator) -> dict[str, Any]:
    apart = np.array([share for item, scores in group if (share := told_apart(item.quality, scores)) is not None])
    share = float(apart.mean()) if len(apart) else None
    low, high = (None, None) if share is None else bootstrapped(share, resampled(apart, random), len(apart))
    return {"pair_accuracy": share, "low": low, "high": high, "n": len(group), "prompts_told_apart": len(apart)}


def _curve(group: _Known, random: np.random.Generator) -> dict[str, Any]:
    most = max((len(item.quality) for item, _ in group), default=0)
    shares = all(0 <= value <= 1 for item, _ in group for value in item.quality)
    curve = {}
    for n in (1 << power for power in range(MOST.bit_length()) if 1 << power <= most):
        enough = [(item.quality, scores) for item, scores in group if len(item.quality) >= n]
        worth = np.array([best_of(quality, scores, n) for quality, scores in enough])
        # Of a model whose scores are the qualities themselves.
        limit = float(np.mean([best_of(quality, quality, n) for quality, _ in enough]))
        curve[str(n)] = {
            **_mean("by_model", worth, random if shares else None),
            "at_best": limit,
            "prompts": len(enough),
        }
    return curve


def _mean(name: str, values: NDArray[np.float64], random: np.random.Generator | None) -> dict[str, Any]:
    """The mean and its interval; without `random` values are no shares."""
    mean, n = float(values.mean()), len(values)
    if random is not None:
        low, high = bootstrapped(mean, resampled(values, random), n)
    elif n > 1:
        half = student_quantile(CONFIDENCE, n - 1) * float(values.std(ddof=1)) / sqrt(n)
        low, high = mean - half, mean + half
    else:
        low, high = None, None
    return {name: mean, "low": low, "high": high}


BEST_OF_N = Benchmark(fits, read, result, grouped=True)
