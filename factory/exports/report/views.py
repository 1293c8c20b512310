"""What the report shows of a run's numbers: sentences, figures and charts, section by section."""

from pkgutil import resolve_name
from typing import NamedTuple

from markupsafe import Markup

from factory.errors import number, span
from factory.exports.facts import FunnelStep, Lengths, Share
from factory.exports.facts.judges import JudgeFacts
from factory.exports.facts.models import RunFacts
from factory.exports.facts.opinions import Opinion, opinions
from factory.exports.pages.charts import Line, lines, steps
from factory.exports.pages.document import today
from factory.exports.pages.markdown import percent
from factory.schema import REPLIES, VIEWS
from factory.stages import stage_at
from filters import FILTERS

_VIEWS = {"plain": "no principle", "good": "the good principle", "bad": "the bad principle"}
_TONES = 4


class Figure(NamedTuple):
    """A number worth a glance."""

    label: str
    value: str
    note: str = ""


class LengthView(NamedTuple):
    """The histograms, side by side."""

    note: str
    panels: list[tuple[str, Markup, Lengths]]
    """Title, drawing and numbers of each."""


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
    """The numbers at the top: how many pairs, how good, how long, for how much, when."""
    found = []
    if run.funnel:
        share = run.funnel.kept / run.funnel.input if run.funnel.input else None
        found.append(Figure("Pairs kept", f"{run.funnel.kept:,}", f"of {run.funnel.input:,} ({percent(share, 0)})"))
    for said in opinions(run):
        found += _said(said)
    kept = run.kept_lengths
    if kept:
        longer = kept.longer_chosen
        more = f"; chosen is longer in {percent(longer.value)} of unequal length" if longer else ""
        note = f"characters of chosen on average, {kept.rejected:,.0f} of rejected{more}"
        found.append(Figure("Length", f"{kept.chosen:,.0f}", note))
    found += _bill(run)
    if run.finished:
        found.append(Figure("Made", run.finished, f"report written {today()}"))
    if run.quality and run.quality.kept:
        note = f"{run.quality.once:,} kept pairs that some judge was asked about once"
        found.append(Figure("On a single vote of a judge", str(percent(run.quality.once / run.quality.kept)), note))
    for last, chosen in run.likelihood("chosen")[-1:]:
        rejected = dict(run.likelihood("rejected")).get(last, float("nan"))
        note = f"chosen, iteration {last}; rejected {rejected:.2f}"
        found.append(Figure("Probability per token", f"{chosen:.2f}", note))
    return found


def _said(said: Opinion) -> list[Figure]:
    """How good the pairs are by somebody, with its interval, and how often the judge could not tell."""
    ends = f"{span(percent(said.low), percent(said.high))} at 95 %, {said.n:,} {said.of}"
    label = "Accuracy" if said.measure == "accuracy" else f"{said.judge} agrees"
    note = f"{ends}, by labels of people" if said.measure == "accuracy" else ends
    found = [Figure(label, str(percent(said.share)), note)]
    if said.unsure is not None:
        found.append(Figure(f"{said.judge} unsure", str(percent(said.unsure)), "the verdict turned with the order"))
    return found


def said_by(run: RunFacts) -> str:
    """What the shares at the top are not, where nobody labelled pairs."""
    known = opinions(run)
    if not known or any(said.measure == "accuracy" for said in known):
        return ""
    return "Agreement with a judge is no accuracy: it may be wrong itself, and how often only labels by people tell."


def _bill(run: RunFacts) -> list[Figure]:
    total, each = run.bill.total, run.bill.per_pair
    if not run.bill.rows:
        return []
    tokens = f"{total.tokens:,} tokens"
    if total.cost is None:
        return [Figure("Bill", tokens, f"{total.requests:,} answers; nothing has a price")]
    pair = f"{number(each)} for each kept pair, " if each is not None else ""
    return [
        Figure("Bill", f"{total.cost:,.2f}", f"{pair}{total.requests:,} answers, {tokens}, in the prices' currency")
    ]


def reasons(step: FunnelStep) -> list[tuple[int, str, str]]:
    """How many pairs a step dropped for each reason, and what that means, the most frequent first."""
    # A run may name a filter of a package that is not here.
    known = resolve_name(FILTERS[step.filter]).reasons if step.filter in FILTERS else {}
    listed = sorted(step.reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    return [(n, token, known.get(token, "")) for token, n in listed]


def judge_dots(run: RunFacts) -> list[tuple[str, list[tuple[str, Share]]]]:
    """Each judge's first votes for chosen, by iteration and feature."""
    found = []
    for judge in run.judges:
        rows = [("all", judge.for_chosen)] if judge.for_chosen else []
        rows += [(f"iteration {name}", share) for name, share in judge.by_iteration.items()]
        rows += list(judge.by_feature.items())
        if rows:
            found.append((judge.health.judge, rows))
    return found


def biases(judge: JudgeFacts) -> list[tuple[str, Share]]:
    """What a judge's first votes lean to."""
    rows = (("for the reply shown first", judge.first_slot), ("for the longer reply", judge.longer))
    return [(label, share) for label, share in rows if share is not None]


def likelihood(run: RunFacts) -> Markup:
    """e^{pi~} of the three replies under no principle, by iteration."""
    sides = [Line(side, side, run.likelihood(side)) for side in ("chosen", "rejected")]
    return lines(
        [Line("no principle", "plain", run.likelihood("original")), *sides],
        "iteration",
        "probability per token",
        from_zero=True,
    )


def likelihood_rows(run: RunFacts) -> list[tuple[str, str]]:
    """The rows of the table beside it: which reply under which view."""
    known = {key for it in run.iterations for key in it.likelihood}
    rows = [(f"{reply}_{view}", f"{reply}, {_VIEWS[view]}") for reply in REPLIES for view in VIEWS]
    return [(key, label) for key, label in rows if key in known]


def lengths(run: RunFacts) -> LengthView | None:
    """Reply lengths before and after the balance; of the kept pairs alone where nothing was balanced."""
    if not run.lengths:
        return None
    note, titles = "The last bin", ["Kept pairs"]
    if len(run.lengths) > 1:
        note = "Both panels have the same scales; the last bin"
        titles = ["Before the length balance, {:,} pairs", "After it, {:,} pairs"]
    # One scale for both panels, which are there to be compared.
    top = max(max(found.histogram.chosen + found.histogram.rejected) for found in run.lengths)
    panels = []
    for title, found in zip(titles, run.lengths, strict=True):
        sides = [(side, side, getattr(found.histogram, side)) for side in ("chosen", "rejected")]
        chart = steps(sides, found.histogram.width, "characters", top)
        panels.append((title.format(found.lengths.pairs), chart, found.lengths))
    return LengthView(f"{note} holds all that is longer.", panels)


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
            # The style sheet has so many tones; iterations beyond them share the darkest.
            series.append(Line(f"iter. {it.number}", f"tone-{min(_TONES, place + 1)}", points))
        chart = lines(series, "step", key)
        if chart:
            found.append((title, note, chart))
    return found


def time_by_step(run: RunFacts) -> dict[str, float]:
    """Seconds per kind of stage, iterations added up, in the order of the line."""
    found: dict[str, float] = {}
    for path, seconds in run.seconds.items():
        stage = stage_at(path)
        title = stage.title if stage else path
        found[title] = found.get(title, 0.0) + seconds
    return found


def duration(seconds: float | None) -> str:
    """A time as people say it, a dash for one that is not known."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
