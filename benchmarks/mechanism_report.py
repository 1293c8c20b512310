"""The page's tables and figure from benchmarks/results/mechanism.json: whoever has the file makes the same ones."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.mechanism_behaviour import behaviours, collect_behaviour, shown
from benchmarks.mechanism_statistics import CONTRASTS, Cell, Estimate, by_seed, difference, estimate, holm

RESULTS = Path(__file__).parent / "results" / "mechanism.json"
BEGIN, END = "<!-- made from benchmarks/results/mechanism.json -->", "<!-- end of what is made -->"
METHODS = ("sso", "sso_no_w", "sso_no_g", "pbaa")
TITLES = {"S": "S, steering", "P": "P, on-policy", "M": "M, margin under x"}
COLOURS = {"S": "#1b6ca8", "P": "#5aa469", "M": "#c0392b"}


class Results:
    """What came of all cells of an iteration, with the means that the tables show."""

    def __init__(self, found: Mapping[str, Any], iteration: int = 1) -> None:
        self.reference: Mapping[str, Sequence[float]] = found["start"]["logps"]
        self.cells: Sequence[Cell] = [cell for cell in found["cells"] if cell["iteration"] == iteration]
        self.plan: Mapping[str, Any] = found["plan"]
        self.start: Cell = found["start"]
        self.rates: Sequence[Cell] = found["rates"]
        self.behaviour = behaviours(found.get("behaviour"), iteration)
        self.arms = {cell["arm"] for cell in self.cells}

    def of(self, arm: str, measure: str, seeds: set[int] | None = None) -> Estimate:
        """The measure of an arm."""
        found = by_seed(self.cells, self.reference, arm, measure)
        return estimate(np.stack([found[seed] for seed in sorted(found) if seeds is None or seed in seeds]))

    def difference(self, first: str, second: str, measure: str) -> Estimate:
        """The measure of the first arm less that of the second."""
        return difference(self.cells, self.reference, first, second, measure)

    def seeds(self, arm: str) -> set[int]:
        """The seeds that an arm has a cell of."""
        return {cell["seed"] for cell in self.cells if cell["arm"] == arm}

    def ratio(self, cell: Cell) -> float:
        """Length of a policy's own replies over the start policy's, on the prompts that it answered."""
        return fmean(cell["lengths"]["tokens"]) / fmean(self.start["lengths"]["tokens"])

    def lengths(self, arm: str) -> list[float]:
        """The ratio, by seed."""
        return [self.ratio(cell) for cell in self.cells if cell["arm"] == arm]


def collect(out: Path) -> dict[str, Any]:
    """All cells of an experiment as one value: plan, start policy, cells in order."""
    cells = [json.loads(path.read_text("utf-8")) for path in sorted((out / "cells").glob("*.json"))]
    start = next((cell for cell in cells if cell["arm"] == "start"), None)
    trained = [cell for cell in cells if cell["arm"] != "start"]
    if start is None or not trained:
        raise SystemExit(f"no finished cell in {out / 'cells'}")
    lean = [
        {name: value for name, value in cell.items() if name not in ("plan", "behaviour")} for cell in (start, *trained)
    ]
    found = {"plan": trained[0]["plan"], "start": lean[0], "cells": lean[1:], "rates": rates(out)}
    behaviour = collect_behaviour(out)
    return found if behaviour is None else {**found, "behaviour": behaviour}


def rates(out: Path) -> list[dict[str, Any]]:
    """What became of replies' lengths at other learning rates: the cells in OUT/rate-*, lengths alone."""
    cells = [json.loads(path.read_text("utf-8")) for path in sorted(out.glob("rate-*/cells/*.json"))]
    kept = ("arm", "seed", "iteration", "lengths")
    return [
        {"rate": cell["plan"]["learning_rate"], **{name: cell[name] for name in kept}}
        for cell in cells
        if cell["iteration"]
    ]


def methods(results: Results) -> list[str]:
    """A line for each method: how far each measure moved."""
    lines = ["| method | S | P | M | seeds | length of replies to x | collapsed |", "|---|---|---|---|---|---|---|"]
    for arm in METHODS:
        if arm in results.arms:
            values = " | ".join(shown(results.of(arm, measure)) for measure in ("S", "P", "M"))
            lines.append(f"| `{arm}` | {values} | {length_columns(results.lengths(arm))} |")
    return lines


def contrasts(results: Results) -> list[str]:
    """The primary endpoint, and M under the same contrasts."""
    rows = []
    for first, second, needed in CONTRASTS:
        if len(results.seeds(first) & results.seeds(second)) > 1:
            found = [results.difference(first, second, measure) for measure in needed]
            rows.append((first, second, needed, found, max(one.p for one in found)))
    lines = ["| contrast | measure | difference | p | p after Holm | M, for comparison |", "|---|---|---|---|---|---|"]
    adjusted = holm([row[-1] for row in rows])
    for (first, second, needed, found, p), after in zip(rows, adjusted, strict=True):
        differences = "; ".join(f"{name} {shown(one)}" for name, one in zip(needed, found, strict=True))
        beside = shown(results.difference(first, second, "M"))
        lines.append(
            f"| `{first}` - `{second}` | {' and '.join(needed)} | {differences} | {p:.4f} | {after:.4f} | {beside} |"
        )
    return lines


def other_rates(results: Results) -> list[str]:
    """Lengths at the other learning rates."""
    lines = ["| learning rate | method | iterations | seeds | length of replies to x | collapsed |"]
    lines.append("|---|---|---|---|---|---|")
    found: dict[tuple[float, int, str], list[float]] = {}
    for cell in results.rates:
        found.setdefault((cell["rate"], cell["iteration"], cell["arm"]), []).append(results.ratio(cell))
    for (rate, iteration, arm), ratios in sorted(found.items()):
        lines.append(f"| {rate:g} | `{arm}` | {iteration} | {length_columns(ratios)} |")
    return lines if results.rates else []


def length_columns(ratios: Sequence[float]) -> str:
    """Seeds, length of replies over the start policy's, how many are under half."""
    return (
        f"{len(ratios)} | {fmean(ratios):.0%} ({min(ratios):.0%} to {max(ratios):.0%}) | "
        f"{sum(ratio < 0.5 for ratio in ratios)} of {len(ratios)}"
    )


def doses(results: Results) -> list[str]:
    """What a setting changes against the first of its group, paired, on the seeds that both have."""
    lines = []
    for name, group, columns in GROUPS:
        (base, label), *others = group.items()
        there = {arm: text for arm, text in others if {arm, base} <= results.arms}
        if not there.keys() - set(METHODS):
            continue
        heads = [HEADS.get(column, column) for column in columns]
        lines += [f"| {name}, against {label} | seeds | {' | '.join(heads)} |", "|---|---|" + "---|" * len(columns)]
        for arm, text in there.items():
            found = [results.difference(arm, base, column) for column in columns]
            lines.append(f"| {text} | {found[0].seeds} | {' | '.join(map(shown, found))} |")
        lines.append("")
    return lines


GROUPS: tuple[tuple[str, Mapping[str, str], tuple[str, ...]], ...] = (
    ("gamma", {"sso_no_g": "0", "sso": "0.1", "gamma_1": "1", "gamma_5": "5"}, ("S", "P", "M")),
    ("gamma without W", {"pbaa": "0", "sso_no_w": "0.1", "no_w_gamma_1": "1", "no_w_gamma_5": "5"}, ("S", "P", "M")),
    ("gamma of sso", {"pbaa": "pbaa", "sso": "0.1", "gamma_1": "1", "gamma_5": "5"}, ("S", "P", "M")),
    ("alpha", {"sso": "0.66", "alpha_0": "0", "alpha_1": "1"}, ("chosen", "rejected", "P")),
    ("form of G", {"sso": "eq. 3", "naive": "eq. 2"}, ("naive", "bad", "S")),
    ("steering_share", {"sso": "1", "share": "0.25"}, ("S", "P", "M")),
)
HEADS = {
    "chosen": "pi~(y+\\|x), change",
    "rejected": "pi~(y-\\|x), change",
    "naive": "h(x-, y-, y+)",
    "bad": "h(x-, y°, y+)",
}


def pairs_written(results: Results) -> list[str]:
    """The pairs that each method's policies wrote for their next training: the oracles' verdicts, length, e^{pi~}."""
    lines = [
        "| pairs written by | seeds | right / even / wrong | tokens of y+, y-, y° | e^{pi~} of y+, y- under x |",
        "|---|---|---|---|---|",
    ]
    for arm in METHODS:
        found = [cell["made"] for cell in results.cells if cell["arm"] == arm]
        if found:
            verdicts = [sum(one["verdicts"][name] for one in found) for name in ("right", "even", "wrong")]
            tokens = [fmean(one["tokens"][name] for one in found) for name in ("chosen", "rejected", "original")]
            sure = [fmean(one["on_policy"][name] for one in found) for name in ("chosen", "rejected")]
            columns = " / ".join(map(str, verdicts)), ", ".join(f"{value:.1f}" for value in tokens)
            lines.append(f"| `{arm}` | {len(found)} | {' | '.join(columns)} | {sure[0]:.3f}, {sure[1]:.3f} |")
    return lines


def block(results: Results, second: Results) -> str:
    """What stands between the page's two marks; `second` is the second iteration."""
    parts = ["### The four methods", *methods(results), "### The primary endpoint", *contrasts(results)]
    if found := doses(results):
        parts += ["### Doses", *found]
    if second.arms:
        parts += ["### After two iterations", *methods(second), "", *contrasts(second), "", *pairs_written(second)]
    for after, one in (("one iteration", results), ("two iterations", second)):
        if one.behaviour:
            parts += [f"### Behaviour after {after}", *one.behaviour]
    if found := other_rates(results):
        parts += ["### Other learning rates", *found]
    lines: list[str] = []
    for line in parts:
        if line.startswith("#") or (lines and lines[-1].startswith("#")):
            lines.append("")
        lines.append(line)
    return "\n".join(lines).strip("\n").replace("\n\n\n", "\n\n")


def with_block(page: str, made: str) -> str:
    """The page with what lies between its marks replaced."""
    before, rest = page.split(BEGIN, 1)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END, 1)[1]}"


def plot(results: Results, path: Path) -> None:
    """Paired differences with their intervals: sso less each other method, and each gamma less gamma 0."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(13, 3.4))
    pairs = [("sso", other) for _, other, _ in CONTRASTS if other in results.arms]
    for axis, (measure, title) in zip(axes, TITLES.items(), strict=False):
        _points(axis, results, measure, dict(zip([f"- {other}" for _, other in pairs], pairs, strict=True)), 0.0)
        axis.set_title(f"{title}: sso less another", fontsize=9)
    gammas = {f"gamma {text}": (arm, "sso_no_g") for arm, text in list(GROUPS[0][1].items())[1:] if arm in results.arms}
    for measure, shift in zip(TITLES, (-0.15, 0.0, 0.15), strict=True):
        _points(axes[3], results, measure, gammas, shift)
    axes[3].set_title("doses of G: less gamma 0", fontsize=9)
    axes[3].legend(fontsize=8, loc="upper left")
    for axis in axes:
        axis.axhline(0, color="black", linewidth=0.6)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
        axis.margins(x=0.2)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _points(axis: Any, results: Results, measure: str, pairs: Mapping[str, tuple[str, str]], shift: float) -> None:
    """A bar with its interval for each pair of arms, and a small point beside it for each seed."""
    for place, (first, second) in enumerate(pairs.values()):
        found = results.difference(first, second, measure)
        reach = [[found.mean - found.low], [found.high - found.mean]] if found.seeds > 1 else None
        label = measure if place == 0 else None
        axis.errorbar(
            [place + shift], [found.mean], yerr=reach, fmt="o", color=COLOURS[measure], capsize=4, label=label
        )
        one, other = (by_seed(results.cells, results.reference, arm, measure) for arm in (first, second))
        seeds = [float((one[seed] - other[seed]).mean()) for seed in sorted(one.keys() & other.keys())]
        axis.scatter([place + shift + 0.08] * len(seeds), seeds, s=7, color=COLOURS[measure], alpha=0.5)
    axis.set_xticks(range(len(pairs)), list(pairs))


def write_report(out: Path | None, behaviour: Path | None, docs: Path) -> None:
    """`docs`/mechanism.png and the made part of `docs`/replication.md; what is given of the two folders is kept first.

    `behaviour` is a folder whose cells give their behaviour alone, beside the cells of `out` or those kept before.
    """
    found = json.loads(RESULTS.read_text("utf-8")) if out is None else collect(out)
    if behaviour is not None:
        found["behaviour"] = collect_behaviour(behaviour)
        if found["behaviour"] is None:
            raise SystemExit(f"no cell in {behaviour / 'cells'} has behaviour; make them with --replies")
    if out is not None or behaviour is not None:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, separators=(",", ":")) + "\n", "utf-8")
    results = Results(found)
    page = docs / "replication.md"
    page.write_text(with_block(page.read_text("utf-8"), block(results, Results(found, iteration=2))), "utf-8")
    plot(results, docs / "mechanism.png")
