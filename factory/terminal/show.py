"""What the command line prints: results as text a person reads."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import BaseModel

from factory.errors import number, one_line, percent, short, span
from factory.terminal import describe_seconds
from factory.terminal.tables import places, table, width, words

if TYPE_CHECKING:
    from factory.commands.check_data import CheckedData
    from factory.commands.explain import Entry
    from factory.commands.look import Looked
    from factory.commands.status import StageStatus
    from factory.commands.trace import Trace
    from factory.exports.facts.bill import Bill
    from factory.line.checking import CheckResult
    from factory.pipeline import Outcome
    from factory.reviewing.labels import Reviewed
    from factory.runs.forecast import Plan
    from factory.runs.rates import Time
    from factory.runs.reproduce import Reproduction
    from factory.stages.audit_model import AuditReport
    from factory.stages.audit_sample import AuditForecast
    from filters.decisions import Step
    from filters.funnel import Funnel

_SHOWN = 160
_MOST_PAIRS = 20


def funnel(found: "Funnel", folder: Path | None = None) -> str:
    """What the judges are like and how good the kept pairs are, where judges voted; a row per step; where pairs lie."""
    from factory.stages.quality import opening

    rows: list[list[Any]] = [["input", found.input, None, ""]]
    for step in found.steps:
        reasons = ", ".join(f"{name} {count:,}" for name, count in sorted(step.reasons.items()))
        flags = ", ".join(f"{name} {count:,}" for name, count in sorted(step.flags.items()))
        reasons = "; ".join(filter(None, [reasons, flags and f"kept with a flag: {flags}"]))
        rows.append([step.filter, step.kept, step.rejected, reasons])
    steps = table(["step", "kept", "rejected", "reasons"], rows)
    told = ("\n".join(part) for part in opening(found.more) if part)
    lie = [places(_filtered_in(folder))] if folder else []
    return "\n\n".join([*told, steps, *_most_dropped(found), *_form(found.said), *lie])


def _filtered_in(folder: Path) -> dict[str, Path | str]:
    return {"kept pairs": folder / "kept.parquet", "rejected pairs, with reasons": folder / "rejected.parquet"}


def _most_dropped(found: "Funnel") -> list[str]:
    """A sentence for each filter that drops more than half of the pairs that reach it."""
    return [
        f"{step.filter} drops {step.rejected:,} of {step.kept + step.rejected:,} pairs that reach it: right where that "
        f"many are such pairs, wrong where its options do not fit this data{_commonest(step)}; rejected.parquet holds "
        f"them, and `sso-factory explain {step.filter}` says what it does"
        for step in found.steps
        if step.filter != "read" and step.rejected > step.kept
    ]


def _commonest(step: "Step") -> str:
    """What the reason means that a filter gave most often."""
    from filters import FILTERS

    known = FILTERS.load(step.filter).reasons if step.filter in FILTERS else {}
    name, count = max(step.reasons.items(), key=lambda item: item[1], default=("", 0))
    return f" ({count:,} {name}: {known[name]})" if name in known else ""


def _form(confounds: Sequence[str]) -> list[str]:
    """What of the replies' form predicts chosen, as a paragraph, if anything does."""
    head = "What predicts chosen beyond chance, which a reward model may learn instead of quality:"
    return ["\n".join([head, *(f"  {one}" for one in confounds)])] if confounds else []


def look(found: "Looked") -> str:
    """How pairs or prompts are read, and the first of them."""
    lines = [f"{found.pairs:,} {found.reading.of}s", *found.reading._replace(example=None).lines()]
    return "\n\n".join(["\n".join(lines), *(_pair(row) for row in found.first)])


def _pair(row: Mapping[str, Any]) -> str:
    turns = [f"  {turn['role']:<9} {short(turn['content'], _SHOWN)}" for turn in row["prompt"]]
    sides = [side for side in ("chosen", "rejected") if side in row]
    return "\n".join([*turns, *(f"  {side:<9} {short(row[side], _SHOWN)}" for side in sides)])


def outcome(found: "Outcome", pairs: int = 3) -> str:
    """The end of a run: funnel, some of the kept pairs, and where everything lies."""
    if found.filtered is None:
        return f"The run folder is {found.root}"
    kept = pl.scan_parquet(found.filtered.folder / "kept.parquet", glob=False).head(min(pairs, _MOST_PAIRS)).collect()
    parts = [
        funnel(found.funnel),
        *([found.drawn] if found.drawn else []),
        *filter(None, [bill(found.bill)]),
        *(_sample(row) for row in kept.iter_rows(named=True)),
    ]
    there: dict[str, Path | str] = _filtered_in(found.filtered.folder)
    there |= {f"export {stage.name.rsplit('/', 1)[-1]}": found.root / stage.name for stage in found.exports}
    there |= {"report": found.report} if found.report else {}
    there |= {"on the Hub": found.pushed} if found.pushed else {}
    parts.append(places(there))
    parts += found.caveats
    return "\n\n".join(parts)


def _sample(row: dict[str, Any]) -> str:
    cut = [side for side in ("chosen", "rejected") if row[f"finish_{side}"] == "length"]
    ended = [f"{' and '.join(cut)} cut at the length limit"] if cut else []
    head = [row["feature"] or "pair", f"iteration {row['iteration']}", row["pair_id"][:8], *ended]
    replies = (f"  {side:<9} {short(row[side], _SHOWN)}" for side in ("chosen", "rejected"))
    return "\n".join([" · ".join(head), f"  prompt    {short(row['prompt'][-1]['content'], _SHOWN)}", *replies])


def check(found: Sequence["CheckResult"]) -> str:
    """What was looked at, and what came of it."""
    return table(["checked", "", ""], [[one.what, "well" if one.well else "note", one.said] for one in found])


def bill(found: "Bill") -> str:
    """What policy, judges and audit took, and what each kept pair cost."""
    rows = [
        [row.name, row.requests, row.prompt_tokens, row.completion_tokens, _seconds(row.seconds), row.cost]
        for row in (*found.rows, found.total)
    ]
    shown = table(["for", "answers", "prompt tokens", "completion tokens", "time", "cost"], rows)
    each = f"{number(found.per_pair)} for each of {found.kept:,} kept pairs" if found.per_pair is not None else ""
    return "\n\n".join(filter(None, [shown, each])) if found.rows else ""


def status(stages: Sequence["StageStatus"], found: "Bill") -> str:
    """A row per stage, and the bill so far."""
    made = table(["stage", "state", "rows", "rejected", "answers journaled", "seconds"], stages)
    return "\n\n".join(filter(None, [made, bill(found)]))


def audit(found: "AuditReport | AuditForecast", page: Path | None = None) -> str:
    """The headline numbers of an audit, or of its estimate; where its page lies."""
    headline = table(["measure", "value"], [[name, value] for name, value in found.headline().items()])
    says = getattr(found, "meaning", "")
    meaning = textwrap.fill(f"{says}.", width()) if says else ""
    lies = places({"report": page}) if page else ""
    parts = ["\n".join(getattr(found, "warnings", [])), headline, meaning, *_form(getattr(found, "said", [])), lies]
    return "\n\n".join(filter(None, parts))


def reviewed(found: "Reviewed") -> str:
    """What each person answered, how far every two agree, and where the labels lie."""
    rows = [[each.annotator, each.chosen, each.rejected, each.tie, each.skip] for each in found.people]
    parts = [table(["reviewed by", "chosen is better", "rejected is better", "tie", "skipped"], rows)] if rows else []
    if found.agreement:
        agreed = [
            [" and ".join(each.people), each.n, None if each.agreement is None else percent(each.agreement), each.kappa]
            for each in found.agreement
        ]
        parts.append(table(["people", "pairs", "agreement", "Cohen's kappa"], agreed))
    return "\n\n".join([*parts, f"labels  {found.labels}"])


def plan(found: "Plan") -> str:
    """Requests, tokens, time and money per stage, before anything is sent: expected, in a range, and at most."""
    rows = [[*stage[:4], _time(stage.time), stage.cost, stage.most.cost] for stage in (*found.stages, found.total)]
    title = f"{found.prompts:,} prompts; nothing was sent; training is not counted"
    if found.further:
        title += f"\n{found.further:,} more prompts wait for further rounds, until target_pairs is reached"
    columns = ["stage", "requests", "tokens sent", "tokens received", "time", "cost", "at most"]
    low, high, most = found.total.low, found.total.high, found.total.most
    requests, tokens = span(low.requests, high.requests, ","), span(low.tokens, high.tokens, ",")
    known = f"probably {requests} requests, {tokens} tokens"
    bound = f"at most {most.requests:,} requests, {most.tokens:,} tokens"
    if most.cost is not None:
        known += f", cost {span(number(low.cost or 0), number(high.cost or 0))}"
        bound += f", cost {number(most.cost)}"
    rounds = ", all further rounds" if found.further else ""
    every = (
        f"the longest answers, every pair in both orders, all retries{rounds}, a token per byte of a prompt;\n"
        "  where a server fails, it is asked again beyond that"
    )
    read = "\n".join(found.reading.lines()) if found.reading else ""
    parts = [*filter(None, [read]), title, table(columns, rows), f"{known}:\n  {found.basis}\n{bound}:\n  {every}"]
    if found.max_cost is not None and most.cost is not None and found.max_cost < most.cost:
        over = "that" if found.max_cost >= (found.total.cost or 0) else "what is expected"
        parts.append(
            f"run.max_cost, {number(found.max_cost)}, lies below {over}: a run that reaches it ends there unfinished"
        )
    return "\n\n".join(parts)


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else describe_seconds(seconds)


def _time(time: "Time") -> str:
    if time.seconds is None:
        return "unknown"
    return ", ".join(filter(None, [describe_seconds(time.seconds), time.basis]))


def checked_data(found: Sequence["CheckedData"]) -> str:
    """What keeps the rules, and what each trainer makes of it."""
    parts = []
    for each in found:
        rows = [[one.trainer, *one.effects.values(), one.version] for one in each.predictions]
        firsts = [f"{one.trainer}: {one.first}" for one in each.predictions if one.affected]
        told = ["", table(["trainer", *each.predictions[0].effects, "as read in"], rows), "", *firsts] if rows else []
        parts.append("\n".join([each.summary, *told]))
    return "\n\n".join(parts)


def reproduction(found: "Reproduction") -> str:
    """Whether the same pairs came, and what may be behind a difference."""
    counts = f"{found.same:,} the same, {found.missing:,} missing, {found.new:,} new"
    said = "exactly the pairs of the card came again" if found.identical else "other pairs came than the card's"
    some = [
        f"{kind}, among them: {' '.join(ids)}"
        for kind, ids in (("missing", found.missing_pairs), ("new", found.new_pairs))
        if ids
    ]
    return "\n".join([f"{said}: {counts}", *some, *found.notes, f"the new run is {found.run}"])


def paths(found: Sequence[Path | str]) -> str:
    """One a line."""
    return "\n".join(str(path) for path in found)


def begun(made: Sequence[Path], preset: str) -> str:
    """What was written, and what to do with it."""
    from factory.commands.init import PRESETS

    run = f"sso-factory run {made[0]}"
    todo = f"next: put your prompts into {made[1]}; see what a run asks and costs, then run it"
    return f"{paths(made)}\n\n{todo}\n  {run} --dry-run\n  {run}\n{PRESETS[preset]}"


def explained(found: Sequence["Entry"]) -> str:
    """What a name means."""
    return "\n\n".join(entry.text for entry in found)


def trace(found: "Trace") -> str:
    """A pair's history: what became of it, what it is made of, its votes and measures."""
    parts = [f"{one_line(found.pair_id)}\n{one_line(found.outcome)}"]
    for title, facts in (("prompt", found.prompt), ("principles", found.principles), ("sampling", found.sampling)):
        lines = [
            f"  {one_line(name)}: {short(words(value), _SHOWN)}" for name, value in facts.items() if value is not None
        ]
        parts += ["\n".join([title, *lines])] if lines else []
    parts += ["\n".join(["policies", *(f"  {one_line(line)}" for line in found.policies)])] if found.policies else []
    told = (("requests", found.requests), ("replies", found.replies), ("votes", found.votes))
    parts += [_facts(title, rows) for title, rows in (*told, ("measures of the filters", found.measures)) if rows]
    return "\n\n".join(parts)


def _facts(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """A block of rows, each on a line: name and value of what it holds; of a request each message below it."""
    lines = []
    for row in rows:
        named = [(name, row[name]) for name in row if row[name] is not None and name not in ("pair_id", "messages")]
        lines.append("  " + ", ".join(f"{one_line(name)} {short(words(value), _SHOWN)}" for name, value in named))
        lines += [f"    {turn['role']:<9} {short(turn['content'], _SHOWN)}" for turn in row.get("messages") or ()]
    return "\n".join([title, *lines])


def as_json(found: Any) -> str:
    """A result as JSON: records by their field names, frames as rows, paths as texts."""
    return json.dumps(_plain(found), indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, pl.DataFrame):
        return _plain(value.to_dicts())
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    # Its own word first; then names, as a NamedTuple is a sequence too and would lose them.
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    if hasattr(value, "_asdict"):
        return _plain({**value._asdict(), **({"total": value.total} if hasattr(value, "total") else {})})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    # NaN and infinity are no JSON, though Python writes them.
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
