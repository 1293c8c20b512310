"""The figures of docs/replication.md: what `sso` changes against each other method, by dose and by iteration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.mechanism_statistics import CONTRASTS, by_seed

if TYPE_CHECKING:
    from benchmarks.mechanism_report import Results

TITLES = {"S": "S, steering", "P": "P, on-policy", "M": "M, margin under x"}
COLOURS = {"S": "#1b6ca8", "P": "#5aa469", "M": "#c0392b"}
OTHERS = tuple(other for _, other, _ in CONTRASTS)


def plot_methods(results: "Results", path: Path, gammas: Mapping[str, str]) -> None:
    """Paired differences with their intervals: sso less each other method, and each gamma (arm to text) less the first.

    A small point for each seed stands beside each mean.
    """
    figure, axes = _figure(4)
    pairs = {f"- {other}": ("sso", other) for other in OTHERS if other in results.arms}
    for axis, (measure, title) in zip(axes, TITLES.items(), strict=False):
        _points(axis, results, measure, pairs, 0.0)
        axis.set_title(f"{title}: sso less another", fontsize=9)
    none, *some = gammas.items()
    doses = {f"gamma {text}": (arm, none[0]) for arm, text in some if arm in results.arms}
    for measure, shift in zip(TITLES, (-0.15, 0.0, 0.15), strict=True):
        _points(axes[3], results, measure, doses, shift)
    axes[3].set_title("doses of G: less gamma 0", fontsize=9)
    axes[3].legend(fontsize=8, loc="upper left")
    _save(figure, axes, path)


def plot_iterations(every: Sequence["Results"], path: Path) -> None:
    """The same differences after each iteration: a panel for each method, with the measures side by side."""
    contrasts = every[0].contrasts
    figure, axes = _figure(len(contrasts))
    for axis, (first, other, _) in zip(axes, contrasts, strict=True):
        for measure, shift in zip(TITLES, (-0.15, 0.0, 0.15), strict=True):
            for place, results in enumerate(every):
                label = f"after {results.iteration}"
                _points(axis, results, measure, {label: (first, other)}, place + shift, marked=place == 0)
        axis.set_xticks(range(len(every)), [f"after {results.iteration}" for results in every])
        axis.set_title(f"{first} less {other}", fontsize=9)
    axes[0].legend(fontsize=8, loc="best")
    _save(figure, axes, path)


def _figure(panels: int) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, panels, figsize=(3.25 * panels, 3.4), squeeze=False)
    return figure, axes[0]


def _save(figure: Any, axes: Any, path: Path) -> None:
    from matplotlib import pyplot

    for axis in axes:
        axis.axhline(0, color="black", linewidth=0.6)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
        axis.margins(x=0.2)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _points(
    axis: Any, results: "Results", measure: str, pairs: Mapping[str, tuple[str, str]], shift: float, marked: bool = True
) -> None:
    """A bar with its interval for each pair of arms, and a small point beside it for each seed."""
    for place, (first, second) in enumerate(pairs.values()):
        found = results.difference(first, second, measure)
        reach = [[found.mean - found.low], [found.high - found.mean]] if found.seeds > 1 else None
        label = measure if marked and place == 0 else None
        axis.errorbar(
            [place + shift], [found.mean], yerr=reach, fmt="o", color=COLOURS[measure], capsize=4, label=label
        )
        one, other = (by_seed(results.cells, results.reference, arm, measure) for arm in (first, second))
        seeds = [float((one[seed] - other[seed]).mean()) for seed in sorted(one.keys() & other.keys())]
        axis.scatter([place + shift + 0.08] * len(seeds), seeds, s=7, color=COLOURS[measure], alpha=0.5)
    axis.set_xticks(range(len(pairs)), list(pairs))
