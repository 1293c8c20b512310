"""How an audit asks its judge, in parts, and what it makes of the answers."""

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple

import polars as pl

from factory.commands.audit_about import Seen
from factory.errors import EngineError
from factory.exports.pages.document import SAMPLED, About, examples
from factory.exports.report.audit import write_audit
from factory.files.table_file import sink
from factory.identity import draw
from factory.readers import Reading
from factory.stages.audit import report
from factory.stages.audit_counts import SAID
from factory.stages.audit_model import AuditReport
from factory.stages.audit_sample import wrote
from factory.stages.certify import Certified, certified_by_labels, with_certificate
from factory.stages.certify import certify as certified
from factory.stages.judge import JudgeWithEngine, judge_into
from factory.stages.parts import dealt, in_order
from factory.stages.votes import VoteParts

_LOOKED_AT = ("pair_id", "prompt_id", "prompt", "chosen", "rejected", "iteration", "feature", "policy")
_SCRATCH = ".auditing"


class Subject(NamedTuple):
    """What is audited."""

    pairs: pl.LazyFrame
    ids: pl.Series
    """Of those of the pairs that are audited, in the order in which they are."""
    recorded: pl.LazyFrame
    """Votes that were given when the pairs were filtered."""
    seen: Seen
    gold: pl.DataFrame | None = None
    """[pair_id, gold]: what people said of some of the pairs."""
    certify: float | None = None
    """The share to be certified."""
    most: int | None = None
    """Pairs to ask about at most, where the judge's answers decide how many."""
    reading: Reading | None = None
    """How the pairs were read."""
    population: int | None = None
    """Pairs that these were drawn from; None: there are no others."""


def looked_at(pairs: pl.LazyFrame) -> pl.LazyFrame:
    """What an audit looks at of its pairs."""
    there = pairs.collect_schema()
    return pairs.select(name for name in _LOOKED_AT if name in there)


def measure(out: Path, subject: Subject, member: JudgeWithEngine, seed: int, told: About) -> AuditReport:
    """Ask the judge, and write what comes of it into `out`. EngineError when it answered nothing at all."""
    scratch = out / _SCRATCH
    rmtree(scratch, ignore_errors=True)
    (scratch / "votes").mkdir(parents=True)
    try:
        return _report(out, subject, _ask(scratch, subject, member, draw(seed, "audit")), member, seed, told)
    finally:
        rmtree(scratch, ignore_errors=True)


def _report(
    out: Path, subject: Subject, asked: Certified, member: JudgeWithEngine, seed: int, told: About
) -> AuditReport:
    pairs, votes, name = asked.pairs, asked.votes, member.config.name
    # Before a file is written: a judge that never answered leaves no report, and is asked again.
    _require_answers(votes.scan(), name)
    said = _said(out / _SCRATCH / "recorded", votes, subject, name)
    own = wrote(member.config, _policies(pairs))
    found = report(pairs, said, name, seed, subject.gold, own, subject.population)
    if asked.certificate is not None:
        found = with_certificate(found, asked.certificate)
    if subject.reading is not None:
        found = found.model_copy(update={"reading": subject.reading.to_dict()})
    sink(votes.scan(), out / "judgments.parquet")
    told = About(told.sources, {**told.facts, SAMPLED: found.pairs})
    write_audit(out, found, told, examples(pairs, (part.lazy() for part in votes.parts()), name, seed))
    return found


def _said(folder: Path, votes: VoteParts, subject: Subject, judge: str) -> Iterator[pl.DataFrame]:
    """The votes of each part without the answers, with those that other judges gave when the pairs were filtered."""
    folder.mkdir()
    others = dealt(folder, subject.recorded.filter(pl.col("judge") != judge).select(SAID), subject.ids)
    for number, part in enumerate(votes.parts()):
        more = [pl.read_parquet(others[number], columns=list(SAID), glob=False)] if number in others else []
        yield pl.concat([part.select(SAID), *more])


def _policies(pairs: pl.LazyFrame) -> list[str | None]:
    if "policy" not in pairs.collect_schema():
        return []
    return pairs.select("policy").unique().collect(engine="streaming")["policy"].to_list()


def _require_answers(votes: pl.LazyFrame, judge: str) -> None:
    failed = pl.col("error").drop_nulls()
    counts = votes.select(pl.len(), errors=failed.len(), first=failed.first())
    asked, errors, first = counts.collect(engine="streaming").row(0)
    if errors == asked:
        raise EngineError(f"the judge {judge} answered none of {asked:,} questions: {first}")


def _ask(scratch: Path, subject: Subject, member: JudgeWithEngine, seed: int) -> Certified:
    """Both orders of every pair; or of as many as a certificate takes."""
    share, gold, ids = subject.certify, subject.gold, subject.ids
    pairs = in_order(scratch, looked_at(subject.pairs), ids)
    if share is not None and gold is None:
        return certified(scratch / "votes", pairs, len(ids), subject.most, member, share, seed)
    votes = judge_into(scratch / "votes", pairs, [member], rule=None, seed=seed)
    whole = subject.population or len(ids)
    by_labels = None if share is None or gold is None else certified_by_labels(ids, gold, share, whole)
    return Certified(pairs, votes, by_labels)
