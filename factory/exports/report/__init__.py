"""report.html: one run on one page that needs nothing else; data enters it escaped or as JSON, never as markup."""

import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml
from markupsafe import Markup, escape

from factory.errors import span
from factory.exports.facts.models import RunFacts
from factory.exports.facts.opinions import opinions
from factory.exports.facts.public import public_name
from factory.exports.facts.recipe import made_from
from factory.exports.facts.run import run_facts
from factory.exports.pages.charts import bar, dot, scale
from factory.exports.pages.document import JudgedExample, examples, source_of, today
from factory.exports.pages.html import asset, content_policy
from factory.exports.pages.markdown import environment, level, runs_left
from factory.exports.report.comparison import Comparison
from factory.exports.report.pairs import LONGEST, Packed, packed_pairs
from factory.exports.report.views import (
    biases,
    duration,
    figures,
    judge_dots,
    lengths,
    likelihood,
    likelihood_rows,
    reasons,
    said_by,
    summary,
    time_by_step,
    training,
)

if TYPE_CHECKING:
    from jinja2 import Template

_SECTIONS = {
    "against": "Against",
    "funnel": "Kept",
    "agreement": "Agreement",
    "likelihood": "On-policy",
    "lengths": "Lengths",
    "confounds": "Form",
    "training": "Training",
    "judges": "Judges",
    "cost": "Cost",
    "reader-section": "Pairs",
    "verdicts": "Verdicts",
    "configuration": "Configuration",
}
_LINE = 110
"""Characters of a text that head it."""
_VERDICTS = ("right", "unsure", "wrong", "invalid", "asked in one order", "not judged")

_ONE_ORDER = {"partial": "asked in one order"}


def report_html(root: Path, *, title: str | None = None, beside: Comparison | None = None) -> str:
    """The report of the run folder `root`, beside another run where one is given.

    Sections for which it holds nothing are left out.
    """
    run = run_facts(root)
    packed = packed_pairs(root, run.seed or 0)
    known = opinions(run)
    audited = [(said.low, said.high) for said in known if (said.measure, said.of) == ("agreement", "audited pairs")]
    style, script = asset("report.css"), asset("difference.js") + asset("report.js")
    values: dict[str, Any] = {
        "run": run,
        "title": title or (f"{run.name} against {beside.second.name}" if beside else run.name),
        "beside": beside,
        "audit": run.audit if run.audit and run.audit.accuracy_without_unsure is not None else None,
        "audit_interval": next(iter(audited), None),
        "summary": summary(run),
        # Narrow columns would part a number from its sign.
        "figures": [one._replace(note=one.note.replace(" %", "\N{NO-BREAK SPACE}%")) for one in figures(run)],
        "said_by": said_by(run),
        "set_aside": [(it.number, it.set_aside) for it in run.iterations if it.set_aside],
        "judge_dots": judge_dots(run),
        "likelihood": likelihood(run),
        "likelihood_rows": likelihood_rows(run),
        "lengths": lengths(run),
        "training": training(run),
        "times": time_by_step(run),
        "blocks": [Markup(block) for block in packed.blocks] if packed else [],
        "pairs_note": _note(run, packed) if packed else "",
        "selects": _selects(packed.pairs) if packed else [],
        "document": _document(run, root),
        "examples": _verdict_examples(root, run.seed or 0),
        "config": yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True) if run.config else None,
        "policy": content_policy(style, script),
        "style": Markup(style),
        "script": Markup(script),
    }
    page = _template()
    # Rendered twice, as only the page itself knows which of its sections had anything to show.
    body = page.render(**values, sections=[])
    there = [(id_, label) for id_, label in _SECTIONS.items() if f'<section id="{id_}">' in body]
    return page.render(**values, sections=there)


@cache
def _template() -> "Template":
    made = environment(_shown, html=True)
    made.filters.update(
        bare=lambda text: Markup(escape(level(text))),
        exact=escape,
        duration=duration,
        biases=biases,
        points=lambda difference: f"{100 * difference:+.1f} points",
        line=lambda text: textwrap.shorten(text, _LINE, placeholder=" …"),
        reasons=reasons,
    )
    made.globals.update(bar=bar, dot=dot, scale=scale, span=span)
    return made.get_template("report.html.jinja")


def _shown(value: Any) -> Any:
    """What the page prints for a value: text of a line keeps its own direction; a longer one has a block of its own."""
    if not isinstance(value, str) or isinstance(value, Markup) or "\n" in value:
        return value
    text = level(value)
    return Markup("<bdi>{}</bdi>").format(text) if runs_left(text) else text


def _note(run: RunFacts, packed: Packed) -> str:
    """How many of the pairs are here, and what of them is not."""
    every = (run.funnel.kept, run.funnel.input - run.funnel.kept) if run.funnel else (0, 0)
    kept = sum("filter" not in pair for pair in packed.pairs)
    counts = zip((kept, len(packed.pairs) - kept), every, ("kept", "rejected"), strict=True)
    parts = [f"{n:,} of {whole:,} {name}" if n < whole else f"all {n:,} {name}" for n, whole, name in counts]
    said = f"{' and '.join(parts)} pairs."
    if packed.room.longest < LONGEST:
        said += f" Texts are cut at {packed.room.longest:,} characters to keep this file small."
    if not packed.room.original:
        said += " The replies without a principle are left out."
    return f"{said[0].upper()}{said[1:]} sso-factory trace RUN PAIR_ID tells all of a pair."


def _selects(pairs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[str]]]:
    """The filters of the reader that have something to choose from."""
    verdicts = {_ONE_ORDER.get(vote["verdict"], vote["verdict"]) for pair in pairs for vote in pair["votes"]}
    verdicts |= {"not judged"} if any(not pair["votes"] for pair in pairs) else set()
    reasons = {f"{pair['filter']}: {pair.get('reason', '?')}" for pair in pairs if "filter" in pair}
    found = [
        ("status", "Shown", ["kept", "rejected"]),
        ("iteration", "Iteration", sorted({str(pair["iteration"]) for pair in pairs if "iteration" in pair})),
        ("feature", "Feature", sorted({str(pair["feature"]) for pair in pairs if "feature" in pair})),
        ("verdict", "Verdict", [name for name in _VERDICTS if name in verdicts]),
        ("reason", "Reason", sorted(reasons)),
    ]
    # A choice of one is none; but that all were rejected for one reason is worth knowing.
    return [(id_, label, options) for id_, label, options in found if len(options) > (id_ != "reason")]


def _document(run: RunFacts, root: Path) -> list[tuple[str, str]]:
    """Name and value of each fact that the run folder holds."""
    found = [("run", run.name), ("seed", str(run.seed)), ("command", "sso-factory run CONFIG.yaml")]
    read = made_from(root, "prompts")
    if "prompts" in read:
        found.append(("prompts, content hash", str(read["prompts"])))
    kept = root / "filtered/kept.parquet"
    if kept.is_file():
        source = source_of(kept)
        found.append((f"file {source.name}", f"SHA-256 {source.sha256}"))
    if run.funnel:
        found.append(("pairs, and kept ones", f"{run.funnel.input:,} and {run.funnel.kept:,}"))
    for stage, part in (("filtered/filter", "judge"), ("audit/audit", "auditor")):
        inputs = made_from(root, stage)
        judges = [*(inputs.get("judges") or []), *([inputs["judge"]] if inputs.get("judge") else [])]
        known = [judge for judge in judges if {"name", "template"} <= judge.keys()]
        found += [(f"template of {part} {public_name(one['name'])}", f"hash {one['template']}") for one in known]
    if run.audit is not None:
        found.append(("pairs audited", f"{run.audit.n + run.audit.invalid:,}"))
    return [*found, ("report written", today())]


def _verdict_examples(root: Path, seed: int) -> tuple[str, list[JudgedExample]] | None:
    """A judge, the auditor where there was one, and some kept pairs of each kind of its verdicts."""
    kept = root / "filtered/kept.parquet"
    for path in (root / "audit/judgments.parquet", root / "filtered/judgments.parquet"):
        if kept.is_file() and path.is_file():
            votes, pairs = pl.scan_parquet(path, glob=False), pl.scan_parquet(kept, glob=False)
            judge = votes.select(pl.min("judge")).collect(engine="streaming").item()
            on_kept = votes.join(pairs.select("pair_id"), on="pair_id", how="semi")
            found = [] if judge is None else examples(pairs, [on_kept], judge, seed)
            if found:
                return public_name(judge), found
    return None
