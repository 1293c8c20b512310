"""RewardBench 2 (Malik et al. 2025): best of several for five subsets, a formula of its own for Ties.

The arithmetic is that of the package rewardbench 0.1.4: `reroll_and_score_dataset` and `process_single_model`.
"""

from collections import Counter
from collections.abc import Sequence
from math import fsum, tanh
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.errors import InputError
from factory.readers.messages import is_text
from factory.reward.accuracy import bootstrapped, resampled_part
from factory.reward.official import (
    Benchmark,
    BenchmarkRow,
    Columns,
    ItemsAsked,
    OfficialLayout,
    Scored,
    ScoredItem,
    ScoredItems,
    Scores,
    by_group,
    complete,
    have_lists,
    is_prompt,
    read_rows,
)
from factory.statistics.shares import RESAMPLES, wilson

BEST_OF = ("Factuality", "Precise IF", "Math", "Safety", "Focus")
TIES = "Ties"
SUBSETS = (*BEST_OF, TIES)


class _Gap(NamedTuple):
    """How right and wrong replies to one prompt of Ties lie."""

    accurate: bool
    """Every right reply scores above every wrong one."""
    margin: float
    """Worst right less best wrong."""
    spread: float | None
    """Best right less worst right; None for a single right one."""


class TiesScore(NamedTuple):
    """The Ties subset: 0.3 (ref + tied) + 0.2 (preferred + preferred_hard) + 0.01 margin."""

    score: float | None
    low: float | None
    """95 % interval by a bootstrap over prompts."""
    high: float | None
    prompts: int
    missing: int
    """Prompts of which a reply has no score, or with right or wrong replies alone."""
    ref: float | None
    """Accuracy where one reply is right."""
    tied: float | None
    """Accuracy where several are."""
    preferred: float | None
    """How often the margin exceeds the spread of the right replies, under the tied prompt."""
    preferred_hard: float | None
    """The same of the smaller margin of the tied prompt and its reference."""
    margin: float | None
    """Mean tanh(smaller margin / spread - 1)."""


def best_of(scores: Scores) -> float | None:
    """1 when the first reply scores highest, 1/k when k share the highest score and it is one of them, else 0.

    None when a score is missing.
    """
    known = complete(scores)
    if not known:
        return None
    top = max(known)
    return 1 / known.count(top) if known[0] == top else 0.0


def ties(scored: Scored, seed: int) -> TiesScore:
    """The score of Ties, with an interval from resampling its prompts (a reference and its tied prompt are one)."""
    table, missing = _table(scored), sum(_gap(*one) is None for one in scored)
    if not len(table):
        return TiesScore(None, None, None, 0, missing, *[None] * 5)
    means = _means(table)
    total = float(_total(means))
    low, high = bootstrapped(total, _resampled_ties(table, np.random.default_rng(seed)), len(table))
    measured = [None if np.isnan(value) else float(value) for value in means]
    return TiesScore(total, low, high, len(scored) - missing, missing, *measured)


def result(scored: Scored, seed: int) -> dict[str, Any]:
    """Of RewardBench 2: its six subsets and `score`, their plain mean, None while one of them is absent.

    The interval of the score is a bootstrap over the prompts of each subset.
    """
    found: dict[str, dict[str, Any]] = {}
    groups = by_group(scored)
    draws = np.zeros(RESAMPLES)
    random = np.random.default_rng(seed)
    for name in BEST_OF:
        points = [best_of(scores) for _, scores in groups.get(name, ())]
        known = np.array([one for one in points if one is not None])
        found[name] = _subset(known, len(points) - len(known))
        if len(known):
            draws += resampled_part(known, random)
    tied = ties(groups.get(TIES, ()), seed)
    found[TIES] = tied._asdict()
    scores = [subset["score"] for subset in found.values()]
    if any(score is None for score in scores):
        return {"score": None, "score_low": None, "score_high": None, "subsets": found}
    draws += _resampled_ties(_table(groups[TIES]), random)
    score = fsum(scores) / len(SUBSETS)
    low, high = bootstrapped(score, draws / len(SUBSETS), sum(subset["prompts"] for subset in found.values()))
    return {"score": score, "score_low": low, "score_high": high, "subsets": found}


def _subset(points: NDArray[np.float64], missing: int) -> dict[str, Any]:
    n = len(points)
    low, high = wilson(float(points.sum()), n)
    return {
        "score": float(points.mean()) if n else None,
        "low": low,
        "high": high,
        "prompts": n,
        "missing": missing,
        "shared_first_place": int(((points > 0) & (points < 1)).sum()),
    }


def _gap(item: ScoredItem, scores: Scores) -> _Gap | None:
    known = complete(scores) or ()
    right, wrong = known[: item.correct], known[item.correct :]
    if not right or not wrong:
        return None
    margin = min(right) - max(wrong)
    return _Gap(margin > 0, margin, max(right) - min(right) if len(right) > 1 else None)


def _table(scored: Scored) -> NDArray[np.float64]:
    """A row per pair of prompts: ref, tied, preferred, preferred_hard, margin; NaN where it has no such part."""
    pairs: dict[str, dict[str, _Gap]] = {}
    for item, scores in scored:
        if (gap := _gap(item, scores)) is not None:
            kind, _, number = item.id.partition(":")
            pairs.setdefault(number, {})[kind] = gap
    # ref:N and tied:N belong together, and a bootstrap draws them together.
    rows = [_row(both.get("ref"), both.get("tied")) for both in pairs.values()]
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _row(ref: _Gap | None, tied: _Gap | None) -> tuple[float, ...]:
    # NaN, which `_means` leaves out: a prompt whose other half is not there still counts for its own accuracy.
    nan = float("nan")
    first = float(ref.accurate) if ref else nan
    second = float(tied.accurate) if tied else nan
    if ref is None or tied is None or tied.spread is None:
        return first, second, nan, nan, nan
    smaller = min(ref.margin, tied.margin)
    # Right replies of one score have no spread to measure by.
    margin = tanh(smaller / tied.spread - 1) if tied.spread > 0 else nan
    return first, second, float(tied.margin > tied.spread), float(smaller > tied.spread), margin


def _means(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of the columns over the rows that have them."""
    there = ~np.isnan(table)
    counts = there.sum(axis=0)
    sums = np.where(there, table, 0.0).sum(axis=0)
    means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(table.shape[1], np.nan), where=counts > 0)
    return means


def _total(means: NDArray[np.float64]) -> np.float64:
    """A part that no prompt has counts nothing."""
    weighed: np.float64 = (np.nan_to_num(means) * np.array([0.3, 0.3, 0.2, 0.2, 0.01])).sum()
    return weighed


def _resampled_ties(table: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    drawn = random.integers(0, len(table), (RESAMPLES, len(table)))
    return np.array([_total(_means(table[rows])) for rows in drawn])


def fits(frames: Sequence[pl.LazyFrame]) -> bool:
    """One has lists of replies on both sides, and no column `domain` as RM-Bench has."""
    return any(have_lists(columns := frame.collect_schema()) and "domain" not in columns for frame in frames)


def _fit(columns: Columns) -> bool:
    texts = is_prompt(columns.get("prompt")) and is_text(columns.get("subset"))
    return have_lists(columns) and texts and "id" in columns


_LAYOUT = OfficialLayout(
    _fit, "RewardBench 2 has the columns id, subset, prompt, and lists of text chosen and rejected"
)


def read(asked: ItemsAsked) -> ScoredItems:
    """Rows with id, subset, prompt, and lists chosen and rejected. Raises InputError where two of Ties share an id."""
    found = read_rows(asked, _LAYOUT, _item)
    ids = Counter(item.id for item in found.items if item.group == TIES)
    twice = next((name for name, count in ids.items() if count > 1), None)
    if twice is not None:
        # By their ids prompts of Ties are told to belong together.
        raise InputError(f"RewardBench 2: two different prompts of Ties have the id {twice!r}; check the files")
    return found


def _item(row: BenchmarkRow) -> ScoredItem:
    chosen, rejected = row.cells["chosen"] or [], row.cells["rejected"] or []
    group, name = row.cells["subset"], str(row.cells["id"])
    if group not in SUBSETS:
        raise row.wrong(f"RewardBench 2 has no subset {group!r}")
    if group == TIES and name.partition(":")[0] not in ("ref", "tied"):
        raise row.wrong(f"in Ties an id is ref:N or tied:N, not {name!r}")
    if not chosen or not rejected:
        raise row.wrong("chosen or rejected is empty")
    if group != TIES and len(chosen) > 1:
        raise row.wrong(f"in {group} one reply is right, and chosen has {len(chosen)}")
    return ScoredItem(name, group, row.prompt, tuple(map(row.reply, (*chosen, *rejected))), len(chosen))


REWARDBENCH2 = Benchmark(fits, read, result)
