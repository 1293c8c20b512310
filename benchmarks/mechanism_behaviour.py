"""The page's tables of behaviour: how far replies under x+ have more of their feature than those under x-."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mechanism_statistics import Cell, Estimate, Numbers, estimate

ARMS = ("sso", "sso_no_w", "sso_no_g", "pbaa")


def shown(found: Estimate) -> str:
    """Mean and interval."""
    if found.seeds < 2:
        return f"{found.mean:+.4f}"
    return f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def collect_behaviour(out: Path) -> dict[str, Any] | None:
    """What is kept of the behaviour in OUT/cells: the features once, each policy's differences and signs.

    None where no cell has any. SystemExit where the start policy's is missing, whose spread is the unit, or cells
    differ in their prompts or replies.
    """
    cells = [json.loads(path.read_text("utf-8")) for path in sorted((out / "cells").glob("*.json"))]
    found = [cell for cell in cells if "behaviour" in cell]
    if not found:
        return None
    start = next((cell["behaviour"] for cell in found if cell["arm"] == "start"), None)
    if start is None:
        raise SystemExit(f"{out / 'cells'} has no behaviour of the start policy, whose spread is the unit")
    for cell in found:
        if any(cell["behaviour"][name] != start[name] for name in ("replies", "features")):
            raise SystemExit(f"{cell['arm']}-{cell['seed']} in {out / 'cells'} has other prompts or replies than start")
    kept = [
        {name: cell[name] for name in ("arm", "seed", "iteration")}
        | {name: cell["behaviour"][name] for name in ("difference", "signs")}
        for cell in found
    ]
    return {"replies": start["replies"], "features": start["features"], "cells": kept}


class Behaviour:
    """The differences after an iteration, in units of the start policy's spread of their feature."""

    def __init__(self, found: Mapping[str, Any], iteration: int) -> None:
        self.features = np.array(found["features"])
        self.replies: int = found["replies"]
        self.start: Cell = next(cell for cell in found["cells"] if cell["arm"] == "start")
        self.cells: Sequence[Cell] = [cell for cell in found["cells"] if cell["iteration"] == iteration]
        before = np.array(self.start["difference"])
        spreads = {name: float(np.std(before[self.features == name])) or 1.0 for name in set(found["features"])}
        self._spread = np.array([spreads[name] for name in found["features"]])
        self.before: Numbers = before / self._spread

    def by_seed(self, arm: str) -> dict[int, Numbers]:
        """An arm's differences, [prompts], by seed; the start policy's stand for every seed."""
        if arm == "start":
            return {cell["seed"]: self.before for cell in self.cells}
        return {cell["seed"]: np.array(cell["difference"]) / self._spread for cell in self.cells if cell["arm"] == arm}

    def columns(self, values: Mapping[int, Numbers]) -> str:
        """Over all prompts, then over those of each feature."""
        table = np.stack([values[seed] for seed in sorted(values)])
        parts = [table, *(table[:, self.features == name] for name in sorted(set(self.features)))]
        return " | ".join(shown(estimate(part)) for part in parts)

    def signs(self, arm: str) -> str:
        """Shares of all pairs of replies in which the one under x+ has more, as much, or less."""
        cells = [self.start] if arm == "start" else [cell for cell in self.cells if cell["arm"] == arm]
        counts = np.array([cell["signs"] for cell in cells], dtype=float).sum(axis=1).mean(axis=0)
        ahead, behind = counts / (self.replies * len(self.features))
        return f"{ahead:.1%} / {1 - ahead - behind:.1%} / {behind:.1%}"


def behaviours(found: Mapping[str, Any] | None, iteration: int) -> list[str]:
    """A table of the policies, and one of what `sso` has more than each, and each than `start`; none without cells."""
    if found is None or not any(cell["iteration"] == iteration for cell in found["cells"]):
        return []
    results = Behaviour(found, iteration)
    arms = {cell["arm"]: results.by_seed(cell["arm"]) for cell in results.cells}
    heads = " | ".join(["all", *sorted(set(results.features))])
    rule = "---|" * (3 + len(set(results.features)))
    lines = [
        f"The oracle's difference between a reply under x+ and one under x-: {len(results.features)} prompts, "
        f"{results.replies} pairs",
        "of replies each, in units of the start policy's spread of its feature over prompts.",
        "",
        f"| policy | seeds | {heads} | x+ ahead / even / behind |",
        f"|---|{rule}",
    ]
    lines.append(f"| `start` | – | {results.columns({0: results.before})} | {results.signs('start')} |")
    lines += [
        f"| `{arm}` | {len(arms[arm])} | {results.columns(arms[arm])} | {results.signs(arm)} |"
        for arm in ARMS
        if arm in arms
    ]
    rows = []
    pairs = [("sso", other) for other in ("pbaa", "sso_no_g", "sso_no_w")] + [(arm, "start") for arm in ARMS]
    for first, other in pairs:
        one, second = arms.get(first, {}), results.by_seed(other)
        # A seed that one of the two lacks says nothing of their difference.
        both = one.keys() & second.keys()
        if len(both) > 1:
            less = {seed: one[seed] - second[seed] for seed in both}
            rows.append(f"| `{first}` - `{other}` | {len(both)} | {results.columns(less)} |")
    if rows:
        lines += ["", f"| contrast | seeds | {heads} |", f"|---|{rule[4:]}", *rows]
    return lines
