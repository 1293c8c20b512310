"""The page's tables and figures from benchmarks/results/mechanism*.json: whoever has the files makes the same ones."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.mechanism_behaviour import behaviours, collect_behaviour, shown
from benchmarks.mechanism_plot import plot_iterations, plot_methods
from benchmarks.mechanism_statistics import (
    AT_GAMMA_1,
    CONTRASTS,
    Cell,
    Estimate,
    by_seed,
    difference,
    estimate,
    holm,
    over_seeds,
)

RESULTS = Path(__file__).parent / "results"
NAME, END = "mechanism", "<!-- end of what is made -->"
METHODS = ("sso", "gamma_1", "sso_no_w", "no_w_gamma_1", "sso_no_g", "pbaa")
AFTER = ("one iteration", "two iterations", "three iterations")


class Results:
    """What came of all cells of an iteration, the first being 1, with the means that the tables show."""

    def __init__(self, found: Mapping[str, Any], iteration: int = 1) -> None:
        self.iteration = iteration
        self.reference: Mapping[str, Sequence[float]] = found["start"]["logps"]
        self.cells: Sequence[Cell] = [cell for cell in found["cells"] if cell["iteration"] == iteration]
        self.plan: Mapping[str, Any] = found["plan"]
        self.start: Cell = found["start"]
        self.rates: Sequence[Cell] = found["rates"]
        self.behaviour = behaviours(found.get("behaviour"), iteration)
        self.arms = {cell["arm"] for cell in self.cells}
        asked = (CONTRASTS,) if "sso" in self.arms else AT_GAMMA_1
        self.families = [[one for one in family if {*one[:2]} <= self.arms] for family in asked]
        self.contrasts = [one for family in self.families for one in family]
        compared = {arm for family in asked for *both, _ in family for arm in both} & self.arms
        self.methods = [arm for arm in METHODS if arm in compared]

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

    def lengths(self, arm: str) -> str:
        """The columns of an arm's own replies."""
        return length_columns(self, [cell for cell in self.cells if cell["arm"] == arm])


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
    lines = [f"| method | S | P | M | {LENGTHS} |", "|---" * 8 + "|"]
    for arm in results.methods:
        values = " | ".join(shown(results.of(arm, measure)) for measure in ("S", "P", "M"))
        lines.append(f"| `{arm}` | {values} | {results.lengths(arm)} |")
    return lines


def contrasts(results: Results) -> list[str]:
    """The contrasts, and M under the same ones; "7 of 7" are the seeds in which the difference is above 0."""
    lines = ["| contrast | measure | difference | p | p after Holm | M, for comparison |", "|---|---|---|---|---|---|"]
    for family in results.families:
        shared = [one for one in family if len(results.seeds(one[0]) & results.seeds(one[1])) > 1]
        found = [[results.difference(*both, measure) for measure in needed] for *both, needed in shared]
        ps = [max(one.p for one in each) for each in found]
        for (first, second, needed), each, p, after in zip(shared, found, ps, holm(ps), strict=True):
            differences = "; ".join(f"{name} {counted(one)}" for name, one in zip(needed, each, strict=True))
            beside = counted(results.difference(first, second, "M"))
            names = f"`{first}` - `{second}` | {' and '.join(needed)}"
            lines.append(f"| {names} | {differences} | {p:.4f} | {after:.4f} | {beside} |")
    return lines


def counted(found: Estimate) -> str:
    """With the seeds above 0."""
    return f"{shown(found)}, {found.above} of {found.seeds}"


def other_rates(results: Results) -> list[str]:
    """Lengths at the other learning rates."""
    lines = [f"| learning rate | method | iterations | {LENGTHS} |", "|---" * 7 + "|"]
    found: dict[tuple[float, int, str], list[Cell]] = {}
    for cell in results.rates:
        found.setdefault((cell["rate"], cell["iteration"], cell["arm"]), []).append(cell)
    for (rate, iteration, arm), cells in sorted(found.items()):
        lines.append(f"| {rate:g} | `{arm}` | {iteration} | {length_columns(results, cells)} |")
    return lines if results.rates else []


LENGTHS = "seeds | length of replies to x | collapsed | cut at the limit"


def length_columns(results: Results, cells: Sequence[Cell]) -> str:
    """Of each policy's own replies: their length over the start policy's, policies under half of it, replies cut."""
    ratios = [results.ratio(cell) for cell in cells]
    cut, replies = (sum(counts) for counts in zip(*((c["lengths"]["cut"], len(c["lengths"]["tokens"])) for c in cells),
                                                  strict=True))  # fmt: skip
    return (
        f"{len(ratios)} | {fmean(ratios):.0%} ({min(ratios):.0%} to {max(ratios):.0%}) | "
        f"{sum(ratio < 0.5 for ratio in ratios)} of {len(ratios)} | {cut} of {replies}"
    )


def doses(results: Results) -> list[str]:
    """What a setting changes against the first of its group, paired, on the seeds that both have."""
    lines = []
    for name, group, columns in GROUPS:
        (base, label), *others = group.items()
        there = {arm: text for arm, text in others if {arm, base} <= results.arms}
        if not there:
            continue
        heads = [HEADS.get(column, column) for column in columns]
        lines += [f"| {name}, against {label} | seeds | {' | '.join(heads)} |", "|---|---|" + "---|" * len(columns)]
        for arm, text in there.items():
            found = [results.difference(arm, base, column) for column in columns]
            lines.append(f"| {text} | {found[0].seeds} | {' | '.join(map(shown, found))} |")
        lines.append("")
    return lines


PARTS = ("S", "good", "bad", "P", "M")
GROUPS: tuple[tuple[str, Mapping[str, str], tuple[str, ...]], ...] = (
    ("gamma", {"sso_no_g": "0", "sso": "0.1", "gamma_1": "1", "gamma_5": "5"}, PARTS),
    ("gamma without W", {"pbaa": "0", "sso_no_w": "0.1", "no_w_gamma_1": "1", "no_w_gamma_5": "5"}, PARTS),
    ("gamma of sso", {"pbaa": "pbaa", "sso": "0.1", "gamma_1": "1", "gamma_5": "5"}, PARTS),
    ("W without G", {"pbaa": "pbaa", "sso_no_g": "W"}, PARTS),
    ("alpha", {"sso": "0.66", "alpha_0": "0", "alpha_1": "1"}, ("chosen", "rejected", "P", "M")),
    ("form of G", {"sso_no_g": "none", "sso": "eq. 3", "naive": "eq. 2"}, ("naive", "bad", "S")),
    ("form of G", {"sso": "eq. 3", "naive": "eq. 2"}, ("naive", "bad", "S")),
    ("steering_share", {"sso": "1", "share": "0.25"}, ("S", "P", "M")),
)
HEADS = {
    "chosen": "pi~(y+\\|x), change",
    "rejected": "pi~(y-\\|x), change",
    "naive": "h(x-, y-, y+)",
    "good": "S under x+, h(x+, y+, y-)",
    "bad": "S under x-, h(x-, y°, y+)",
}


def pairs_written(results: Results) -> list[str]:
    """The pairs that each method's policies wrote for their next training: the oracles' verdicts, length, e^{pi~}."""
    lines = [
        "| pairs written by | seeds | right / even / wrong | tokens of y+, y-, y° | e^{pi~} of y+, y- under x |",
        "|---|---|---|---|---|",
    ]
    found = {
        arm: {cell["seed"]: cell["made"] for cell in results.cells if cell["arm"] == arm} for arm in results.methods
    }
    for arm, made in found.items():
        if made:
            verdicts = [sum(one["verdicts"][name] for one in made.values()) for name in ("right", "even", "wrong")]
            tokens = [
                fmean(one["tokens"][name] for one in made.values()) for name in ("chosen", "rejected", "original")
            ]
            sure = [fmean(one["on_policy"][name] for one in made.values()) for name in ("chosen", "rejected")]
            columns = " / ".join(map(str, verdicts)), ", ".join(f"{value:.1f}" for value in tokens)
            lines.append(f"| `{arm}` | {len(made)} | {' | '.join(columns)} | {sure[0]:.3f}, {sure[1]:.3f} |")
    lines += ["", "| contrast | e^{pi~} of y+ | e^{pi~} of y- | share of right pairs less that of wrong ones |"]
    lines.append("|---|---|---|---|")
    for first, second, _ in results.contrasts:
        if both := sorted(found[first].keys() & found[second].keys()):
            sides = [(told(found[first][seed]), told(found[second][seed])) for seed in both]
            each = [over_seeds([one[k] - other[k] for one, other in sides]) for k in range(3)]
            lines.append(f"| `{first}` - `{second}` | {' | '.join(map(counted, each))} |")
    return lines


def told(made: Mapping[str, Any]) -> tuple[float, float, float]:
    """Of a policy's written pairs: e^{pi~} of y+ and of y-, and how many more are right than wrong."""
    verdicts = made["verdicts"]
    return *made["on_policy"].values(), (verdicts["right"] - verdicts["wrong"]) / made["pairs"]


def parts_of_steering(results: Results) -> list[str]:
    """How far each method moved the two parts of S, and what `sso` moved them more than another."""
    lines = [f"| | {HEADS['good']} | {HEADS['bad']} |", "|---|---|---|"]
    for arm in results.methods:
        found = " | ".join(counted(results.of(arm, part)) for part in ("good", "bad"))
        lines.append(f"| `{arm}` | {found} |")
    for first, second, _ in results.contrasts:
        if results.seeds(first) & results.seeds(second):
            found = " | ".join(counted(results.difference(first, second, part)) for part in ("good", "bad"))
            lines.append(f"| `{first}` - `{second}` | {found} |")
    return lines


def block(found: Mapping[str, Any]) -> str:
    """What stands between the page's marks of one experiment."""
    every = [one for place, _ in enumerate(AFTER, 1) if (one := Results(found, place)).arms]
    parts = []
    for results in every:
        primary = ", the primary endpoint" if results.iteration == results.plan["iterations"] else ""
        parts += [f"### After {AFTER[results.iteration - 1]}{primary}", *methods(results), "", *contrasts(results)]
        parts += ["", *parts_of_steering(results)]
        if results.iteration > 1:
            parts += ["", *pairs_written(results)]
        if results.arms.difference(results.methods):
            parts += ["### Doses", *doses(results)]
    for results in every:
        if results.behaviour:
            parts += [f"### Behaviour after {AFTER[results.iteration - 1]}", *results.behaviour]
    if every and (rates := other_rates(every[0])):
        parts += ["### Other learning rates", *rates]
    lines: list[str] = []
    for line in parts:
        if line.startswith("#") or (lines and lines[-1].startswith("#")):
            lines.append("")
        lines.append(line)
    return "\n".join(lines).strip("\n").replace("\n\n\n", "\n\n")


def begin(name: str) -> str:
    """The mark that an experiment's tables stand behind."""
    return f"<!-- made from benchmarks/results/{name}.json -->"


def with_block(page: str, made: str, name: str = NAME) -> str:
    """The page with what lies between an experiment's marks replaced."""
    before, rest = page.split(begin(name), 1)
    return f"{before}{begin(name)}\n\n{made}\n\n{END}{rest.split(END, 1)[1]}"


def write_report(out: Path | None, behaviour: Path | None, docs: Path, name: str = NAME) -> None:
    """`docs`/NAME.png and its part of `docs`/replication.md; what is given of the two folders is kept first.

    `behaviour` is a folder whose cells give their behaviour alone, beside the cells of `out` or those kept before.
    """
    file = RESULTS / f"{name}.json"
    found = json.loads(file.read_text("utf-8")) if out is None else collect(out)
    if behaviour is not None:
        found["behaviour"] = collect_behaviour(behaviour)
        if found["behaviour"] is None:
            raise SystemExit(f"no cell in {behaviour / 'cells'} has behaviour; make them with --replies")
    if out is not None or behaviour is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(found, separators=(",", ":")) + "\n", "utf-8")
    page = docs / "replication.md"
    page.write_text(with_block(page.read_text("utf-8"), block(found), name), "utf-8")
    every = [one for place, _ in enumerate(AFTER, 1) if (one := Results(found, place)).arms]
    if found["plan"]["iterations"] > 1:
        plot_iterations(every, docs / f"{name}.png")
    else:
        plot_methods(every[0], docs / f"{name}.png", GROUPS[0][1])
