"""An audit as Markdown and as a picture, beside its JSON."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from markupsafe import Markup

from factory.errors import number, percent, span
from factory.exports.card.plots import CHOSEN, FAINT, INK, PALE, QUARTERS, REJECTED, quiet, save, share_dots
from factory.exports.pages.charts import dot, scale, stack
from factory.exports.pages.document import About, JudgedExample, examples_markdown
from factory.exports.pages.html import as_html
from factory.exports.pages.markdown import escaped, level
from factory.stages.audit_model import AuditReport, GapRow, LengthRow, Stratum, between, rate
from factory.statistics.shares import widest, wilson
from factory.store import write_json, write_text

_MOST_ROWS = 40
_FILLS = {"right": "chosen", "unsure": "plain", "wrong": "rejected", "invalid": "pale"}
"""Verdict to the class that colours it on a page."""
_BAR_COLOURS = {"right": CHOSEN, "unsure": PALE, "wrong": REJECTED, "invalid": FAINT}
_Group: TypeAlias = tuple[str, float, tuple[float, float], int]
"""Label, share of right ones, its interval, n."""


def write_audit(out: Path, report: AuditReport, about: About, shown: Sequence[JudgedExample]) -> None:
    """Write audit.json, audit.md, audit.html and audit.png into `out`."""
    write_json(out / "audit.json", report.model_dump(mode="json"))
    draw(_groups(report), report.gaps, out / "audit.png")
    text = markdown(report, about, shown)
    write_text(out / "audit.md", text)
    write_text(out / "audit.html", as_html(f"Audit by {report.judge}", text, {"audit.png": figures(report)}))


def markdown(report: AuditReport, about: About, shown: Sequence[JudgedExample]) -> str:
    """The audit for people: what was measured, how sure it is, and what may bias it."""
    parts = [
        f"# Audit by {_cell(report.judge)}",
        *(f"> **{_cell(line)}.**" for line in report.warnings),
        _summary(report),
        "## What was audited",
        _table(("", ""), about.table()),
        "![Agreement by iteration and feature, and verdicts along the length gap](audit.png)",
        "## Measures",
        _table(("measure", "value"), report.headline().items()),
        # A single one would say of all pairs again what stands above.
        *(["## By iteration and feature", _strata(report.strata)] if len(report.strata) > 1 else []),
        "## Lengths, in characters",
        _lengths(report.lengths),
    ]
    if report.agreement:
        parts += ["## Agreement between judges", _agreement(report)]
    if report.together:
        parts += ["## The judges together", _table(("measure", "value"), report.together.model_dump().items())]
    if report.gold is not None:
        gold = [(name, rate(value) if isinstance(value, float) else value) for name, value in report.gold]
        parts += ["## Against gold labels", _table(("measure", "value"), gold)]
    if report.said:
        parts += ["## What form gives away", "\n".join(f"- {_cell(one)}" for one in report.said)]
    if shown:
        parts += ["## Verdicts as they came", examples_markdown(shown)]
    parts.append("## How to read this\n\n" + _GLOSSARY)
    return "\n\n".join(parts) + "\n"


def _lengths(rows: Sequence[LengthRow]) -> str:
    names = ("verdict", "pairs", "chosen_mean", "rejected_mean", "chosen_median", "rejected_median")
    titles = (*(name.replace("_", ", ") for name in names), "chosen longer")
    return _table(titles, [[*(getattr(row, name) for name in names), rate(row.longer_chosen_rate)] for row in rows])


_GLOSSARY = """Each pair is judged twice, the chosen reply shown first and shown second. Both votes for chosen make it
right, both for rejected wrong, one for each unsure. A pair with a vote that could not be read is invalid and is
counted beside the others, never among them. Agreement is right / n, the unsure counting as not right; its interval is
Wilson's, at 95 %, and holds the judge's agreement, not the share of labels that are right; with several pairs a prompt
it is the wider one, for which a bootstrap draws whole prompts. Accuracy is said only where people labelled a random
part of the pairs: the share of right labels among all of them, from labels and votes. The flip rate is the share of
unsure verdicts. Without a bias for the first slot half of all votes go there. "Always the longer" says how often a
judge that only liked length would have come to the same decided verdict. What form gives away is beyond chance at 95 %
for all that was compared; a reward model may learn it as if it were quality. Judges together are worth so many
independent ones (effective\\_judges), told by their errors on labelled pairs, or by how far their votes agree."""


def _summary(report: AuditReport) -> str:
    if not report.n:
        return f"None of {report.pairs:,} pairs has a verdict that could be read."
    counted = (
        f"The judge's verdicts: {report.right:,} of {report.n:,} pairs are right, {report.unsure:,} unsure,"
        f" {report.wrong:,} wrong ({report.invalid:,} more could not be read)."
    )
    return f"**{_cell(report.meaning)}.**\n\n{counted}" if report.meaning else counted


def _strata(strata: Sequence[Stratum]) -> str:
    counts = ("iteration", "feature", "n", "right", "unsure", "wrong", "invalid")
    headers = (*counts, "agreement", "95 % interval")
    rows = []
    for row in strata[:_MOST_ROWS]:
        said = rate(row.accuracy_without_unsure), between(row.wilson_low, row.wilson_high)
        rows.append((*(getattr(row, name) for name in counts), *said))
    more = f"\n\n{len(strata) - _MOST_ROWS:,} more are in audit.json." if len(strata) > _MOST_ROWS else ""
    return _table(headers, rows) + more


def _agreement(report: AuditReport) -> str:
    rows = [(" and ".join(row.judges), row.on, row.n, rate(row.agreement), row.kappa) for row in report.agreement]
    return _table(("judges", "on", "n", "agreement", "Cohen's kappa"), rows)


def _table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [headers, ["---"] * len(headers), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    """A value as text that no Markdown or HTML is read in. Names come from data."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, float):
        return number(value) if abs(value) > 1 else f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return escaped(str(value))


def figures(report: AuditReport) -> Markup:
    """The same as the PNG for a page, whose colours they take, in light and in dark."""
    value = Markup('{} <span class="soft small">of {:,}</span>')
    rows = [(label, dot(share, ends), value.format(percent(share), n)) for label, share, ends, n in _groups(report)]
    gaps = []
    for row in report.gaps:
        counts = {name: getattr(row, name) for name in _FILLS}
        bar = stack([(kind, counts[name]) for name, kind in _FILLS.items()])
        gaps.append((span(row.low, row.high, "+,"), bar, Markup("{:,}").format(sum(counts.values()))))
    key = Markup("").join(
        Markup('<span class="key"><i class="{}"></i>{}</span>').format(k, n) for n, k in _FILLS.items()
    )
    drawn = (
        [_rows("Agreement: right, of all judged, with its 95 % interval", Markup(""), rows, scale())] if rows else []
    )
    drawn += [_rows("Verdicts by how many characters longer chosen is", key, gaps)] if gaps else []
    return Markup('<div class="pair">{}</div>').format(Markup("").join(drawn))


def _rows(title: str, key: Markup, rows: Sequence[tuple[str, Markup, Markup]], end: Markup | None = None) -> Markup:
    line = '<span class="label">{}</span>{}<span class="value">{}</span>'
    body = Markup("\n").join(Markup(line).format(*row) for row in rows)
    last = Markup('<span class="label scale"></span>{}<span class="value scale"></span>').format(end) if end else ""
    return Markup('<div><h3>{}</h3>{}<div class="rows">{}{}</div></div>').format(title, key, body, last)


def draw(groups: Sequence[_Group], gaps: Sequence[GapRow], path: Path) -> None:
    """Agreement with its interval by iteration and by feature, and the verdicts along the length gap, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.6 + 0.3 * max(len(groups), 8)), layout="constrained")
    left, right = figure.subplots(1, 2)
    quiet(left)
    quiet(right)
    share_dots(left, [group[:3] for group in groups], "right / (right + unsure + wrong), 95 % interval")
    _draw_gaps(right, gaps)
    save(figure, path, 110)


def _groups(report: AuditReport) -> list[_Group]:
    """Of all pairs, with the interval that is told of them everywhere, and of the first iterations and features."""
    parts = [(*part, wilson(*part[1:])) for part in (*_margin(report, "iteration"), *_margin(report, "feature"))]
    shown = []
    for label, right, n, ends in [("all", report.right, report.n, report.interval), *parts][:_MOST_ROWS]:
        if n:
            # The share too: the ends of a certificate may not hold it, where answers are unread.
            low, high = widest(right / n, *ends)
            shown.append((label, right / n, (low or 0.0, high or 0.0), n))
    return shown


def _margin(report: AuditReport, by: str) -> list[tuple[str, int, int]]:
    """(label, right, n) of each iteration or feature, where there are several."""
    sums: dict[object, tuple[int, int]] = {}
    for row in report.strata:
        right, n = sums.get(getattr(row, by), (0, 0))
        sums[getattr(row, by)] = (right + row.right, n + row.n)
    if len(sums) < 2:
        return []
    # Names come from data, and a long one would take the drawing's room.
    named = {value: f"{by} {value}" if by == "iteration" else level(str(value or "no feature")) for value in sums}
    return [(named[value][:40], *counts) for value, counts in sums.items()]


def _draw_gaps(axes: Any, gaps: Sequence[GapRow]) -> None:
    # Bars are stacked by hand, as matplotlib stacks areas alone.
    bottom = [0.0] * len(gaps)
    totals = [row.right + row.unsure + row.wrong + row.invalid for row in gaps]
    for name, colour in _BAR_COLOURS.items():
        shares = [getattr(row, name) / total for row, total in zip(gaps, totals, strict=True)]
        axes.bar(range(len(shares)), shares, bottom=bottom, color=colour, label=name)
        bottom = [low + share for low, share in zip(bottom, shares, strict=True)]
    axes.set_xticks(range(len(gaps)))
    axes.set_xticklabels([f"{row.low:+}\n{row.high:+}" for row in gaps], fontsize=8)
    axes.set_xlabel("how many characters longer the chosen reply is (from, to)", color=INK, fontsize=9)
    axes.set_ylabel("share of verdicts", color=INK, fontsize=9)
    axes.set_yticks(QUARTERS, [f"{tick:.0%}" for tick in QUARTERS])
    axes.legend(ncols=4, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
