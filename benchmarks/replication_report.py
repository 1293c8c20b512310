"""Tables and plots of the replication's results."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

Record = dict[str, Any]
COLOURS = {"sso": "#1b6ca8", "sso_no_w": "#5aa469", "sso_no_g": "#e0a030", "pbaa": "#c0392b"}
PANELS: list[tuple[str, Callable[[Record], float | None]]] = [
    ("accuracy of the signal (decided pairs)", lambda record: record["accuracy"]),
    ("words in the reply to x alone", lambda record: record["words"]["original"]),
    ("e^{pi~} of chosen under x", lambda record: record["on_policy"]["chosen"]),
    ("e^{pi~} of rejected under x", lambda record: record["on_policy"]["rejected"]),
    ("gap pi~(chosen) - pi~(rejected) under x", lambda record: record["gap"]),
    ("words in chosen", lambda record: record["words"]["chosen"]),
]


def results(folder: Path) -> dict[str, list[Record]]:
    """The results by method, seeds in order; only those that got through all iterations."""
    found: dict[str, list[Record]] = {}
    for path in sorted(folder.glob("*.json")):
        one = json.loads(path.read_text("utf-8"))
        if len(one["iterations"]) == one["plan"]["iterations"] + 1:
            found.setdefault(one["method"], []).append(one)
    return {method: found[method] for method in COLOURS if method in found}


def series(runs: list[Record], value: Callable[[Record], float | None]) -> list[list[float | None]]:
    """The value at each iteration, by seed."""
    return [[value(record) for record in run["iterations"]] for run in runs]


def mean(values: list[float | None]) -> float | None:
    """Mean of the values there are."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def plot(found: dict[str, list[Record]], path: Path) -> None:
    """One panel per measure: a line through the means of the seeds, a point for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(13, 7))
    for (title, value), axis in zip(PANELS, axes.flat, strict=True):
        for method, runs in found.items():
            seeds = series(runs, value)
            steps = range(len(seeds[0]))
            axis.plot(steps, [mean(list(at)) for at in zip(*seeds, strict=True)], color=COLOURS[method], label=method)
            for seed in seeds:
                axis.scatter(steps, seed, s=12, color=COLOURS[method], alpha=0.6)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("trainings done")
        axis.set_xticks(range(len(seeds[0])))
        axis.grid(alpha=0.3)
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def rows(found: dict[str, list[Record]]) -> list[str]:
    """A Markdown table: a line for each method and number of trainings done, counts added up over seeds."""
    lines = ["| method | trainings done | right / even / wrong | accuracy | words x / chosen / rejected "
             "| e^{pi~} chosen | e^{pi~} rejected | gap |", "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for method, runs in found.items():
        for step in range(len(runs[0]["iterations"])):
            records = [run["iterations"][step] for run in runs]
            counts = [sum(record[name] for record in records) for name in ("right", "even", "wrong")]
            accuracy = counts[0] / (counts[0] + counts[2]) if counts[0] + counts[2] else float("nan")
            words = [
                fmean(record["words"][reply] for record in records) for reply in ("original", "chosen", "rejected")
            ]
            on_policy = [fmean(record["on_policy"][reply] for record in records) for reply in ("chosen", "rejected")]
            lines.append(
                f"| {method} | {step} | {' / '.join(map(str, counts))} | {accuracy:.1%} | "
                f"{' / '.join(f'{count:.1f}' for count in words)} | {on_policy[0]:.3f} | {on_policy[1]:.3f} | "
                f"{fmean(record['gap'] for record in records):+.3f} |"
            )
    return lines


def write_report(folder: Path, docs: Path, command: str) -> None:
    """`docs`/replication.png and `docs`/replication-table.md."""
    found = results(folder)
    if not found:
        raise SystemExit(f"no finished result in {folder}")
    docs.mkdir(parents=True, exist_ok=True)
    plot(found, docs / "replication.png")
    plan = next(iter(found.values()))[0]["plan"]
    seeds = {method: [run["seed"] for run in runs] for method, runs in found.items()}
    text = [f"`{command}`", "", f"Plan: {json.dumps(plan)}. Seeds: {json.dumps(seeds)}.", "", *rows(found), ""]
    (docs / "replication-table.md").write_text("\n".join(text), "utf-8")
