"""The card's plots: quiet PNG files, the same bytes for the same numbers."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factory.exports.card.facts import CardFacts
from factory.exports.facts import FunnelFacts, Histogram
from factory.exports.facts.models import AuditFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, CHOSEN, REJECTED, PLAIN = "#22262b", "#8a929c", "#1f7a6d", "#c2573a", "#6b7785"
PALE, FAINT = "#c3cad2", "#e6e2da"
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def draw_plots(facts: CardFacts, folder: Path) -> list[Path]:
    """Draw what there are numbers for; returns the files, named after what they show."""
    run = facts.run
    jobs: dict[str, tuple[Any, Any, float]] = {}
    if facts.pairs.pairs:
        jobs["lengths"] = (_lengths, facts.pairs.histogram, 2.6)
    if run and run.funnel and run.funnel.steps:
        jobs["funnel"] = (funnel_bars, run.funnel, 0.6 + 0.38 * (len(run.funnel.steps) + 1))
    if run and run.likelihood("chosen"):
        points = {reply: run.likelihood(reply) for reply in ("original", "chosen", "rejected")}
        jobs["likelihood"] = (_likelihood, ([it.number for it in run.iterations], points), 2.6)
    if run and run.audit and run.audit.groups:
        rows = sum(len(values) for values in run.audit.groups.values())
        jobs["agreement"] = (_agreement, run.audit, 0.9 + 0.3 * rows)
    folder.mkdir(exist_ok=True)
    return [_draw(folder / f"{name}.png", *job) for name, job in sorted(jobs.items())]


def _draw(path: Path, paint: Any, what: Any, height: float) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), layout="constrained")
    # Without pyplot, which would keep each figure until it is closed.
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    quiet(axes)
    paint(axes, what)
    save(figure, path, 150)
    return path


def save(figure: "Figure", path: Path, dpi: int) -> None:
    """Write a figure as a PNG whose bytes depend on what it shows alone."""
    with warnings.catch_warnings():
        # Names come from data: a letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        # matplotlib would write its version into the file, which changes bytes with every upgrade.
        figure.savefig(path, dpi=dpi, metadata={"Software": None})


def quiet(axes: "Axes") -> None:
    """Axes as all of ours are: no frame, no ticks, ink that does not shout."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=INK, labelsize=9, length=0)


def share_dots(axes: "Axes", rows: Sequence[tuple[str, float, tuple[float, float]]], label: str) -> None:
    """A dot on its interval for each (name, share, interval), from the top down, over 0 to 100 %."""
    for at, (_, value, interval) in enumerate(rows):
        axes.plot(interval, [at, at], color=SOFT, linewidth=1.6, zorder=1)
        axes.plot(value, at, "o", color=CHOSEN, markersize=6, zorder=2)
    axes.set_yticks(range(len(rows)))
    for text in axes.set_yticklabels([name for name, _, _ in rows]):
        # A $ in the name of a feature or model is no formula.
        text.set_parse_math(False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xticks(QUARTERS, [f"{tick:.0%}" for tick in QUARTERS])
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(label, color=INK, fontsize=9)


def funnel_bars(axes: "Axes", funnel: FunnelFacts) -> None:
    """A bar for all pairs and for what each step kept, from the top down."""
    names = ["all pairs", *(step.filter for step in funnel.steps)]
    kept = [funnel.input, *(step.kept for step in funnel.steps)]
    # By place, and the names beside it: two bars of one name, as of a filter that is used twice, would be one.
    axes.barh(range(len(kept)), kept, color=CHOSEN, height=0.62)
    axes.set_yticks(range(len(kept)), names)
    for row, count in enumerate(kept):
        axes.text(count, row, f" {count:,}", va="center", color=INK, fontsize=9)
    axes.invert_yaxis()
    # Room for the number behind the longest bar; of no pairs at all the axis still needs a width.
    axes.set_xlim(0, max(kept) * 1.14 or 1)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xticks([])


def _lengths(axes: "Axes", found: Histogram) -> None:
    edges = [found.width * slot for slot in range(len(found.chosen) + 1)]
    axes.stairs(found.chosen, edges, color=CHOSEN, linewidth=1.6, label="chosen")
    axes.stairs(found.rejected, edges, color=REJECTED, linewidth=1.6, label="rejected")
    axes.set_xlabel("characters (the last step holds all that is longer)", color=INK, fontsize=9)
    axes.set_ylabel("replies", color=INK, fontsize=9)
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)


def _likelihood(axes: "Axes", shown: tuple[list[int], dict[str, list[tuple[int, float]]]]) -> None:
    iterations, points = shown
    lines = (("original", PLAIN, "without principle"), ("chosen", CHOSEN, "chosen"), ("rejected", REJECTED, "rejected"))
    for reply, color, label in lines:
        if points[reply]:
            axes.plot(
                *zip(*points[reply], strict=True), color=color, marker="o", markersize=4, linewidth=1.6, label=label
            )
    axes.set_xticks(iterations)
    axes.set_xlabel("iteration", color=INK, fontsize=9)
    axes.set_ylabel("probability per token", color=INK, fontsize=9)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)


def _agreement(axes: "Axes", audit: AuditFacts) -> None:
    rows = [(f"{by} {name}", row.share) for by, values in audit.groups.items() for name, row in values.items()]
    known = [(name, found.value, found.interval) for name, found in rows if found is not None]
    if audit.accuracy_without_unsure is not None:
        axes.axvline(audit.accuracy_without_unsure, color=SOFT, linewidth=0.8, zorder=0)
    share_dots(axes, known, "right in both orders, of all judged (95 % interval)")
