"""What the report shows of a run's numbers: sentences, figures and charts, section by section."""

from pathlib import Path
from typing import NamedTuple

import polars as pl
from markupsafe import Markup

from factory.errors import number
from factory.exports.charts import Line, lines, steps
from factory.exports.facts import Lengths, Share, bin_width, histogram, narrow
from factory.exports.facts import lengths as measure
from factory.exports.judge_facts import JudgeFacts
from factory.exports.markdown import percent
from factory.exports.run_models import AuditFacts, RunFacts
from factory.schema import REPLIES, VIEWS
from factory.stages.quality import Quality

_VIEWS = {"plain": "no principle", "good": "the good principle", "bad": "the bad principle"}
_TONES = 4
_STEPS = {
    "features": "choosing features",
    "contrast": "making principles",
    "triples": "writing replies",
    "scores": "scoring replies",
    "train": "training",
    "filter": "judging and filtering",
}
"""Stages as the report calls them."""


class Figure(NamedTuple):
    """A number worth a glance."""

    label: str
    value: str
    note: str = ""


class HistogramPanel(NamedTuple):
    """One histogram with its numbers."""

    title: str
    chart: Markup
    row: Lengths


class LengthView(NamedTuple):
    """The histograms, side by side."""

    note: str
    panels: list[HistogramPanel]


def summary(run: RunFacts) -> str:
    """The run in one or two sentences."""
    rounds = len(run.iterations)
    policy = next((model.name for model in run.models if model.role == "policy"), "A model")
    made = sum(it.pairs or 0 for it in run.iterations)
    first = f"{policy} wrote {made:,} pairs in {rounds} iteration{'s' * (rounds != 1)}" if made else "Pairs"
    if run.funnel:
        first += f", of which {run.funnel.kept:,} passed the filters"
    if run.audit and run.audit.accuracy_without_unsure is not None:
        audited = percent(run.audit.accuracy_without_unsure)
        return f"{first}. An auditing judge agreed with {audited} of a sample, in both orders of presentation."
    return f"{first}."


def figures(run: RunFacts) -> list[Figure]:
    """The numbers at the top."""
    found = []
    if run.funnel:
        share = run.funnel.kept / run.funnel.input if run.funnel.input else None
        found.append(Figure("Pairs kept", f"{run.funnel.kept:,}", f"of {run.funnel.input:,} ({percent(share, 0)})"))
    found += _agreement(run.quality) if run.quality else []
    if run.audit and run.audit.accuracy_without_unsure is not None:
        low, high = audit_interval(run.audit)
        note = f"{percent(low)} to {percent(high)}, {run.audit.n:,} judged"
        found.append(Figure("The auditor agrees", str(percent(run.audit.accuracy_without_unsure)), note))
    if run.balance and run.balance.after.longer_chosen:
        gap = run.balance.after.gap
        note = f"means differ by {percent(abs(gap) if gap is not None else None)}"
        found.append(Figure("Chosen is longer", str(percent(run.balance.after.longer_chosen.value)), note))
    last = next((it for it in reversed(run.iterations) if "chosen_plain" in it.likelihood), None)
    if last:
        note = f"chosen, iteration {last.number}; rejected {last.likelihood.get('rejected_plain', float('nan')):.2f}"
        found.append(Figure("Probability per token", f"{last.likelihood['chosen_plain']:.2f}", note))
    cost, per_pair = run.bill.total.cost, run.bill.per_pair
    if cost is not None:
        each = f"{number(per_pair)} for each kept pair, " if per_pair is not None else ""
        found.append(Figure("Spent", f"{cost:,.2f}", f"{each}in the currency of the prices"))
    return found


def _agreement(quality: Quality) -> list[Figure]:
    """What the filter judges say of a sample of the kept pairs, and how many rest on one vote."""
    found = []
    for judge in quality.judges:
        if judge.n:
            note = f"{percent(judge.low)} to {percent(judge.high)}, {judge.n:,} kept pairs in both orders"
            found.append(Figure(f"{judge.judge} agrees", str(percent(judge.agreement)), note))
            found.append(Figure(f"{judge.judge} unsure", str(percent(judge.unsure / judge.n)), "turned with the order"))
    if quality.kept:
        note = f"{quality.once:,} kept pairs that a judge was asked about once"
        found.append(Figure("Kept on one vote", str(percent(quality.once / quality.kept)), note))
    return found


def audit_interval(audit: AuditFacts | None) -> tuple[float, float]:
    """The Wilson interval of the audit, the point itself where it has none."""
    if audit is None or audit.accuracy_without_unsure is None:
        return 0.0, 0.0
    low, high = audit.wilson_low, audit.wilson_high
    right = audit.accuracy_without_unsure
    return (right if low is None else low), (right if high is None else high)


def judge_dots(run: RunFacts) -> list[tuple[str, list[tuple[str, Share]]]]:
    """Each judge's first votes for chosen, by iteration and feature."""
    found = []
    for judge in run.judges:
        rows = [("all", judge.for_chosen)] if judge.for_chosen else []
        rows += [(f"iteration {name}", share) for name, share in judge.by_iteration.items()]
        rows += list(judge.by_feature.items())
        if rows:
            found.append((judge.name, rows))
    return found


def biases(judge: JudgeFacts) -> list[tuple[str, Share]]:
    """What a judge's first votes lean to."""
    rows = (("for the reply shown first", judge.first_slot), ("for the longer reply", judge.longer))
    return [(label, share) for label, share in rows if share is not None]


def likelihood(run: RunFacts) -> Markup:
    """e^{pi~} of the three replies under no principle, by iteration."""
    names = {
        "original": ("no principle", "plain"),
        "chosen": ("chosen", "chosen"),
        "rejected": ("rejected", "rejected"),
    }
    found = [
        Line(
            label,
            kind,
            [(it.number, it.likelihood[f"{r}_plain"]) for it in run.iterations if f"{r}_plain" in it.likelihood],
        )
        for r, (label, kind) in names.items()
    ]
    return lines(found, "iteration", "probability per token", from_zero=True)


def likelihood_rows(run: RunFacts) -> list[tuple[str, str]]:
    """The rows of the table beside it: which reply under which view."""
    known = {key for it in run.iterations for key in it.likelihood}
    rows = [(f"{reply}_{view}", f"{reply}, {_VIEWS[view]}") for reply in REPLIES for view in VIEWS]
    return [(key, label) for key, label in rows if key in known]


def lengths(run: RunFacts, root: Path) -> LengthView | None:
    """Reply lengths before and after the balance; of the kept pairs alone where nothing was balanced."""
    if run.balance:
        pair = run.balance
        top = max(max(h.chosen + h.rejected) for h in (pair.before_histogram, pair.after_histogram))
        panels = [
            HistogramPanel(title, _histogram(h.chosen, h.rejected, h.width, top), row)
            for title, h, row in (
                (f"Before the length balance, {pair.before.pairs:,} pairs", pair.before_histogram, pair.before),
                (f"After it, {pair.after.pairs:,} pairs", pair.after_histogram, pair.after),
            )
        ]
        return LengthView("Both panels have the same scales; the last bin holds all that is longer.", panels)
    kept = root / "filtered/kept.parquet"
    table = narrow(pl.scan_parquet(kept)) if kept.is_file() else None
    if table is None or not table.height:
        return None
    found = histogram(table, bin_width(table))
    chart = _histogram(found.chosen, found.rejected, found.width, max(found.chosen + found.rejected))
    return LengthView(
        "The last bin holds all that is longer.", [HistogramPanel("Kept pairs", chart, measure(table, "kept"))]
    )


def _histogram(chosen: list[int], rejected: list[int], width: int, top: int) -> Markup:
    return steps([("chosen", "chosen", chosen), ("rejected", "rejected", rejected)], width, "characters", top)


def training(run: RunFacts) -> list[tuple[str, str, Markup]]:
    """Loss, margin and accuracy over the steps, one line per iteration."""
    wanted = (
        ("loss", "Loss", "The SSO loss, mean per pair."),
        ("margin", "Margin", "How much more training has moved the policy towards chosen than towards rejected."),
        ("accuracy", "Ranked right", "Share of pairs with a margin above zero."),
    )
    found = []
    for key, title, note in wanted:
        series = []
        for place, it in enumerate(run.iterations):
            points = [
                (step, value) for row in it.metrics if (step := row.get("step")) and (value := row.get(key)) is not None
            ]
            series.append(Line(f"iter. {it.number}", f"tone-{min(_TONES, place + 1)}", points))
        chart = lines(series, "step", key)
        if chart:
            found.append((title, note, chart))
    return found


def time_by_step(run: RunFacts) -> dict[str, float]:
    """Seconds per kind of stage, iterations added up, in the order of the line."""
    found: dict[str, float] = {}
    for stage, seconds in run.seconds.items():
        parts = stage.split("/")
        kind = "exports" if parts[0] == "exports" else parts[-1]
        found[_STEPS.get(kind, kind)] = found.get(_STEPS.get(kind, kind), 0.0) + seconds
    return found


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
