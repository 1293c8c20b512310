"""What the cells of benchmarks/filter_worth.py come to: results as JSON, and the tables of docs/reward.md from them.

    python benchmarks/filter_worth_report.py --cells DIR/cells.jsonl     results/filter_worth.json anew
    python benchmarks/filter_worth_report.py                             docs/reward.md from it

An accuracy is the mean of two: over pairs whose right reply is the longer one, and over those where it is the shorter
one. The first interval resamples seeds, within their quarter, and pairs, within their stratum, crosswise; it counts the
chance of a single answer three times and is too wide. The second is by the variance of seeds and of pairs less that of
single answers (Cameron, Gelbach and Miller 2011). p is of a sign-flip test over seeds.
"""

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from benchmarks import reward_records
from benchmarks.filter_worth import (
    ARMS,
    CLEAN,
    FEWER,
    FILTERED,
    FOLDS,
    HUMAN,
    LEVEL,
    LEVEL_NOISY,
    LLMBAR,
    MILD,
    NOISY,
    SHARED,
    SHARES,
    STRANGE,
    Floats,
    at,
)
from benchmarks.mechanism_statistics import holm
from benchmarks.reward_report import END, PAGE, RESULTS, points, sign_flip, strata
from factory.statistics.shares import CONFIDENCE, student_quantile
from factory.store import write_json

CONTRASTS = (
    (FILTERED, NOISY),
    (FILTERED, FEWER),
    (MILD, NOISY),
    (MILD, FILTERED),
    (CLEAN, NOISY),
    (CLEAN, FILTERED),
    (NOISY, FEWER),
    (LEVEL, NOISY),
    (LEVEL, FILTERED),
    (LEVEL, FEWER),
    (LEVEL, LEVEL_NOISY),
    (FILTERED, STRANGE),
)
"""The first is the primary one, the others describe."""
DRAWS = 20_000
MARK = "<!-- begin: benchmarks/filter_worth_report.py -->"
MARK_SHARES = "<!-- begin: benchmarks/filter_worth_report.py, by share -->"
Cells = Mapping[tuple[str, str, int], Mapping[str, Any]]
"""By material, arm and seed."""


class Tested(NamedTuple):
    """Of one arm on one material, over the seeds that all arms have."""

    right: Floats
    """[seeds, pairs]: 1 where the chosen reply scores higher, else 0; NaN where a pair was not the seed's test."""
    longer: NDArray[np.int64]
    facts: dict[str, float]


def read(cells: Cells, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, Tested]]:
    """By material and arm; seeds that one of these arms lacks, or that are no whole round, are left out."""
    seeds = sorted({seed for _, _, seed in cells})
    whole = [seed for seed in seeds if all((name, arm, seed) in cells for name in wanted for arm in wanted[name])]
    whole = whole[: len(whole) // FOLDS * FOLDS]
    found: dict[str, dict[str, Tested]] = {}
    for name in wanted if whole else ():
        its = {arm: [cells[name, arm, seed] for seed in whole] for arm in wanted[name]}
        ways = {n: way for one in its[CLEAN] for n, way in zip(one["tested"], one["longer"], strict=True)}
        found[name] = {arm: tested(some, ways) for arm, some in its.items()}
    return found


def tested(cells: Sequence[Mapping[str, Any]], ways: Mapping[int, int]) -> Tested:
    """The cells of one arm; `ways` says of each pair which reply is longer."""
    right = np.full((len(cells), max(ways) + 1), np.nan)
    for row, one in zip(right, cells, strict=True):
        row[one["tested"]] = np.array(one["margins"]) > 0
    side = np.array([ways.get(n, 0) for n in range(max(ways) + 1)])
    means = {key: float(np.mean([one[key] for one in cells])) for key in ("pairs", "right", "chosen_longer")}
    return Tested(right, side, means)


def estimate(right: Floats, longer: NDArray[np.int64]) -> dict[str, float]:
    """Mean of both strata of values [seeds, pairs], both intervals, and the sign-flip test's p."""
    groups = strata(longer)
    by_seed = np.mean([np.nanmean(right[:, place], axis=1) for place in groups], axis=0)
    mean, (low, high) = float(by_seed.mean()), resampled(right, groups)
    half = student_quantile(CONFIDENCE, len(right) - 1) * two_way(right, groups)
    ends = {"low": low, "high": high, "two_way_low": mean - half, "two_way_high": mean + half}
    return {"mean": mean, **ends, "seeds": len(right), "p": sign_flip(by_seed)}


def resampled(right: Floats, groups: Sequence[NDArray[np.int64]]) -> tuple[float, float]:
    """The interval of the design."""
    seeds, seen, rng = len(right), ~np.isnan(right), np.random.default_rng(0)
    weights, drawn = np.zeros((DRAWS, seeds)), np.zeros(DRAWS)
    # As many seeds of each part in every draw: a part has pairs of its own.
    for part in (np.arange(seeds)[number::FOLDS] for number in range(FOLDS)):
        weights[:, part] = rng.multinomial(len(part), np.full(len(part), 1 / len(part)), DRAWS)
    for place in groups:
        counts = rng.multinomial(len(place), np.full(len(place), 1 / len(place)), DRAWS)
        values, there = np.nan_to_num(right[:, place]), seen[:, place].astype(float)
        drawn += ((weights @ values) * counts).sum(1) / ((weights @ there) * counts).sum(1) / len(groups)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def two_way(right: Floats, groups: Sequence[NDArray[np.int64]]) -> float:
    """The standard error of the mean where answers of one seed go together, and those about one pair."""
    off = np.zeros(right.shape)
    for place in groups:
        values = right[:, place]
        off[:, place] = np.nan_to_num(values - np.nanmean(values)) / np.count_nonzero(~np.isnan(values)) / len(groups)
    seeds, pairs, single = (float((part**2).sum()) for part in (off.sum(1), off.sum(0), off))
    return float(np.sqrt(max(seeds + pairs - single, single)))


def sides(one: Tested) -> dict[str, float]:
    """The accuracy of either stratum."""
    return {name: float(np.nanmean(one.right[:, one.longer == way])) for name, way in (("longer", 1), ("shorter", -1))}


def results(place: Path) -> dict[str, Any]:
    """Everything that the page says of the cells."""
    cells = {(*one["arm"].split(": "), one["seed"]): one for one in reward_records.read(place)}
    said: dict[str, Any] = {"settings": next(iter(cells.values()))["settings"]}
    for name, arms in read(cells, ARMS).items():
        shares = read(cells, {name: SHARED})
        said[name] = {
            "shares": by_share(shares[name]) if shares else None,
            "tested": int((~np.isnan(arms[CLEAN].right)).any(axis=0).sum()),
            "counted": int(np.count_nonzero(arms[CLEAN].longer)),
            "arms": {arm: {**one.facts, **sides(one), **estimate(one.right, one.longer)} for arm, one in arms.items()},
            "contrasts": {f"{one} less {other}": estimate(arms[one].right - arms[other].right, arms[one].longer)
                          for one, other in CONTRASTS if {one, other} <= {*arms}},
        }  # fmt: skip
    return said


def by_share(arms: Mapping[str, Tested]) -> dict[str, Any]:
    """What filtering gains at each share of wrong labels, and by how much more for each 0.1 of them."""
    longer = arms[CLEAN].longer
    gains = {share: arms[at(FILTERED, share)].right - arms[at(NOISY, share)].right for share in SHARES}
    off = np.array(SHARES) - np.mean(SHARES)
    slope = np.tensordot(off / (off**2).sum() / 10, list(gains.values()), 1)
    each = {}
    for share, gain in gains.items():
        both = {arm: arms[at(arm, share)] for arm in (NOISY, FILTERED)}
        said = {arm: {**one.facts, **estimate(one.right, longer)} for arm, one in both.items()}
        each[f"{share:.0%}"] = {**said, "gain": estimate(gain, longer)}
    return {"slope": estimate(slope, longer), "at": each}


def tables_by_share(found: Mapping[str, Any]) -> Iterator[str]:
    """The tables of what filtering gains by the share of wrong labels."""
    for name in (HUMAN, LLMBAR):
        if not (shares := found[name]["shares"]):
            continue
        head = (f"{name}, wrong", "pairs", "filtered", "not turned", NOISY, FILTERED, f"{FILTERED} less {NOISY}", "p")
        yield f"| {' | '.join(head)} |"
        yield "|---" + "|--:" * 5 + "|---" * 2 + "|"
        for share, one in shares["at"].items():
            means = [f"{one[arm]['mean']:.3f}" for arm in (NOISY, FILTERED)]
            kept = (*(f"{one[arm]['pairs']:.0f}" for arm in (NOISY, FILTERED)), f"{one[FILTERED]['right']:.1%}")
            yield f"| {' | '.join((share, *kept, *means, *two_way_points(one['gain'])))} |"
        asked = {"slope, for each 10% more wrong": shares["slope"]}
        asked |= {f"at {share}": shares["at"][share]["gain"] for share in ("40%", "0%")}
        yield f"\n| {FILTERED} less {NOISY}, {shares['slope']['seeds']} seeds | in points | p | p after Holm |"
        yield "|---" * 4 + "|"
        for (what, one), p in zip(asked.items(), holm([one["p"] for one in asked.values()]), strict=True):
            yield f"| {what} | {' | '.join(two_way_points(one))} | {chance(p)} |"
        yield ""


def tables(found: Mapping[str, Any]) -> Iterator[str]:
    """The tables of the page, line by line."""
    for name in (HUMAN, LLMBAR):
        yield f"| {name} | pairs | not turned | chosen longer | seeds | right is longer | shorter | mean | two-way |"
        yield "|---" + "|--:" * 7 + "|---|"
        for arm, one in found[name]["arms"].items():
            shares = [
                f"{one['pairs']:.0f}",
                *(f"{one[key]:.1%}" for key in ("right", "chosen_longer")),
                str(one["seeds"]),
            ]
            said = [f"{one[key]:.3f}" for key in ("longer", "shorter", "mean", "two_way_low", "two_way_high")]
            yield f"| {' | '.join((arm, *shares, *said[:3], ' to '.join(said[3:])))} |"
        tested_on, counted = (found[name][key] for key in ("tested", "counted"))
        yield f"\nOf {tested_on} pairs {counted} have replies of unequal length, and count.\n"
    yield f"| difference, in points | {HUMAN} | two-way | p | {LLMBAR} | two-way | p |"
    yield "|---" * 7 + "|"
    for both in found[LLMBAR]["contrasts"]:
        each = (found[name]["contrasts"].get(both) for name in (HUMAN, LLMBAR))
        yield f"| {' | '.join((both, *(difference(one) if one else '– | – | –' for one in each)))} |"


def difference(one: Mapping[str, float]) -> str:
    """A difference with both intervals and its p."""
    return f"{points(one)} | {two_way_ends(one)} | {chance(one['p'])}"


def two_way_points(one: Mapping[str, float]) -> tuple[str, str]:
    """A difference in points with its two-way interval, and its p."""
    return f"{100 * one['mean']:+.1f} {two_way_ends(one)}", chance(one["p"])


def two_way_ends(one: Mapping[str, float]) -> str:
    """The two-way interval, in points."""
    low, high = (100 * one[f"two_way_{end}"] for end in ("low", "high"))
    return f"({low:+.1f} to {high:+.1f})"


def chance(p: float) -> str:
    """A p."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def with_results(page: str, found: Mapping[str, Any]) -> str:
    """The page with the tables of these results."""
    page = with_tables(page, "\n".join(tables(found)), MARK)
    return with_tables(page, "\n".join(tables_by_share(found)), MARK_SHARES)


def with_tables(page: str, text: str, mark: str) -> str:
    """The page with the tables between their marks. ValueError when it has none."""
    before, begin, rest = page.partition(mark)
    if not begin:
        raise ValueError(f"the page has no {mark}")
    return f"{before}{begin}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path)
    asked = parser.parse_args()
    file = RESULTS / "filter_worth.json"
    if asked.cells:
        write_json(file, results(asked.cells))
    PAGE.write_text(with_results(PAGE.read_text(), json.loads(file.read_text())))


if __name__ == "__main__":
    main()
