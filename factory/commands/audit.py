"""`audit`: how often a judge that neither wrote nor filtered pairs agrees; with labels, how many are right."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import polars as pl

from factory.commands.audit_about import Seen, about, about_run
from factory.commands.gold import read_gold
from factory.config import Audit, Config, Judge
from factory.config.apis import ApiEngine, OpenaiEngine, Prices
from factory.config.engines import EngineBlock, ScriptedEngine
from factory.config.load import as_config
from factory.engines import open_generator
from factory.engines.api.accounts import Spending
from factory.engines.api.prices import priced
from factory.errors import EngineError, InputError
from factory.exports.pages.document import About, examples
from factory.exports.report.audit import write_audit
from factory.files import PathLike
from factory.files.streaming import small_morsels
from factory.identity import DEFAULT_SEED, draw
from factory.line.judges import judge_block, judge_fingerprint, judge_model, judge_names, open_judges
from factory.line.pool import EnginePool
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.readers import How, PairsLike, Reading, ReadOptions, fetched_once, fingerprint, how_to_read
from factory.readers.places import places
from factory.readers.told import read_and_tell, tell_set_aside
from factory.schema import JUDGMENTS, conform
from factory.stages import STAGES
from factory.stages.audit import report
from factory.stages.audit_model import AuditReport
from factory.stages.audit_sample import AuditForecast, check_independent, estimate, rough_tokens, wrote
from factory.stages.audit_sample import sample as sample_pairs
from factory.stages.certify import Certified, certified_by_labels, with_certificate
from factory.stages.certify import certify as certified
from factory.stages.gold import is_file
from factory.stages.judge import JudgeWithEngine
from factory.stages.judge import judge as ask
from factory.statistics.sequential import Certifier
from factory.store import Workspace, open_run
from factory.store.ownership import require_apart

DEFAULT_JUDGE = "gpt-4o"


@fetched_once()
@small_morsels()
def audit(
    pairs: PairsLike,
    *,
    out: PathLike,
    judge: str | Judge | Mapping[str, Any] | None = None,
    engine: EngineBlock | Mapping[str, Any] | str | None = None,
    base_url: str | None = None,
    sample: int | None = None,
    gold: str | None = None,
    certify: float | None = None,
    config: Audit | Mapping[str, Any] | PathLike | None = None,
    allow_self: bool = False,
    dry_run: bool = False,
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    **reading: Unpack[ReadOptions],
) -> AuditReport | AuditForecast:
    """Judge pairs in both orders; write audit.json, audit.md, audit.html, audit.png and judgments.parquet into `out`.

    `judge` is a model's name or a whole judge block, `engine` what runs it, a kind or a block, `base_url` a server,
    OpenAI-compatible unless `engine` says otherwise; `config` is an audit block (or the path of a YAML with its keys)
    for prices and the like, beside which the other arguments win. `sample` None judges all pairs. `gold` names a column
    that says which reply is right, or a file of people's labels, as `review` writes them; labelled pairs are sampled
    first. With `certify`, a share, pairs are judged in random order (at most `sample`) until it is certain whether at
    least so many are right; with `gold` the labels are held against it. `dry_run` returns an Estimate and sends
    nothing.
    The same call goes on where a killed one stopped. Raises ConfigError for a judge that wrote or filtered the pairs,
    unless `allow_self`. `columns`, `layout`, `pairing` and `skip_unreadable` say how to read the pairs.
    """
    shown = progress or Silent()
    settings = _settings(judge, engine, base_url, sample, config, allow_self)
    require_apart(Path(out), places(pairs))
    how = how_to_read(reading)
    subject = _subject(pairs, how, settings, gold, seed, shown, certify)
    if dry_run:
        return _estimate(subject.pairs, settings.judge)
    inputs = {
        "pairs": fingerprint(pairs),
        "judge": judge_fingerprint(settings.judge, None),
        "sample": settings.sample,
        "gold": fingerprint(gold) if gold is not None and is_file(gold) else gold,
        "certify": certify,
        "seed": seed,
        **how.fingerprint(),
    }

    def build(work: Workspace) -> dict[str, Any]:
        with EnginePool(shown, Spending(Path(out))) as engines:
            member = open_judges([settings.judge], None, engines, work.journal)[0]
            told = about(pairs, subject.seen, settings.judge, seed, settings.sample, gold, certify)
            return _measure(work.path, subject, member, seed, told).model_dump(mode="json")

    with open_run(Path(out), shown) as folder:
        facts = folder.stage("audit", inputs, build, STAGES["audit"].files()).facts
    return AuditReport.model_validate({name: facts[name] for name in AuditReport.model_fields if name in facts})


def audit_into(
    work: Workspace,
    kept: Path,
    judge: Judge,
    config: Audit,
    engines: EnginePool,
    run: Config,
    seed: int,
    votes: Path | None = None,
) -> dict[str, Any]:
    """The audit that closes a run, of the `kept` pairs, made in a stage's workspace.

    `votes` are the filter judges', for agreement.
    """
    pairs = pl.scan_parquet(kept)
    if not pairs.head(1).collect().height:
        raise InputError("the filters kept no pair, so there is none to audit; see filtered/funnel.json, and ease them")
    if not config.allow_self:
        filtered_by = [name for other in run.judges for name in judge_names(other)]
        check_independent(judge, [run.policy.model, run.pairs.weaker], filtered_by)
    recorded = pl.read_parquet(votes) if votes is not None and votes.is_file() else JUDGMENTS.empty()
    drawn = sample_pairs(pairs, config.sample, seed)
    seen = Seen(pairs.select(pl.len()).collect().item(), 0, drawn.height)
    subject = _Subject(drawn, conform(recorded, JUDGMENTS), seen)
    member = open_judges([judge], run.engine, engines, work.journal, role="audit")[0]
    told = about_run(kept, seen, judge, seed, run)
    return _measure(work.path, subject, member, seed, told).model_dump(mode="json")


class _Settings(NamedTuple):
    judge: Judge
    sample: int | None
    allow_self: bool


class _Subject(NamedTuple):
    """What is audited."""

    pairs: pl.DataFrame
    recorded: pl.DataFrame
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


def _settings(
    judge: str | Judge | Mapping[str, Any] | None,
    engine: EngineBlock | Mapping[str, Any] | str | None,
    base_url: str | None,
    size: int | None,
    config: Audit | Mapping[str, Any] | PathLike | None,
    allow_self: bool,
) -> _Settings:
    block = Audit(sample=None) if config is None else as_config(config, Audit)
    chosen = block.judge if judge is None else Judge(name=judge) if isinstance(judge, str) else as_config(judge, Judge)
    chosen = chosen or Judge(name=DEFAULT_JUDGE)
    if isinstance(judge, str) and block.judge is not None:
        chosen = block.judge.model_copy(update={"name": judge, "model": judge})
    if engine is not None:
        chosen = as_config({**chosen.model_dump(exclude={"engine"}), "engine": engine}, Judge)
    address = base_url or (os.environ.get("OPENAI_BASE_URL") if chosen.engine is None else None)
    if address and not chosen.name.startswith("bundled:"):
        server = chosen.engine if isinstance(chosen.engine, ApiEngine) else OpenaiEngine()
        elsewhere = {"base_url": address} | ({"serve": None} if server.starts_server else {})
        chosen = chosen.model_copy(update={"engine": server.model_copy(update=elsewhere)})
    return _Settings(chosen, size if size is not None else block.sample, allow_self or block.allow_self)


def _writers(pairs: pl.LazyFrame) -> list[str | None]:
    """The models that wrote the replies, as the pairs name them."""
    named = [name for name in ("policy", "rejected_by") if name in pairs.collect_schema()]
    columns = [pairs.select(pl.col(name).cast(pl.String).alias("writer")) for name in named]
    return pl.concat(columns).unique().collect(engine="streaming")["writer"].to_list()


def _subject(
    pairs: PairsLike,
    how: How,
    settings: _Settings,
    gold: str | None,
    seed: int,
    shown: Progress,
    certify: float | None,
) -> _Subject:
    if certify is not None:
        Certifier(1, certify)  # what is no share is told before anything is read
    split, reading = read_and_tell(pairs, how, shown)
    recorded = recorded_votes(pairs)
    if not settings.allow_self:
        check_independent(settings.judge, _writers(split.kept), recorded["judge"].unique().to_list())
    labels = None if gold is None else read_gold(gold, split.kept, pairs, how)
    whole = certify is not None and labels is None  # drawn while the judge is asked
    drawn = sample_pairs(split.kept, None if whole else settings.sample, seed, labels)
    reasons = split.reasons()
    tell_set_aside(reasons, shown)
    if drawn.is_empty():
        raise InputError("there are no pairs to audit in what was given")
    if labels is not None:
        _tell_labels(labels, drawn, shown)
    rows = split.kept.select(pl.len()).collect(engine="streaming").item()
    seen = Seen(rows, sum(reasons.values()), drawn.height)
    told = reading._replace(set_aside=reasons)
    return _Subject(drawn, recorded, seen, labels, certify, settings.sample, told)


def _tell_labels(labels: pl.DataFrame, drawn: pl.DataFrame, shown: Progress) -> None:
    """Say how many pairs have a label. InputError where none has."""
    used = drawn.join(labels, on="pair_id", how="semi").height
    if not used:
        raise InputError(f"none of the {labels.height:,} labels is of a pair in what was given; label these pairs")
    others = f"; {labels.height - used:,} are of other pairs" if used < labels.height else ""
    shown.say(f"{used:,} of {drawn.height:,} pairs have a person's label{others}")


def recorded_votes(pairs: PairsLike) -> pl.DataFrame:
    """The votes that filtered the pairs, where filter wrote them: beside the funnel of a file, folder or run."""
    found = [JUDGMENTS.empty()]
    for given in pairs if isinstance(pairs, list | tuple) else [pairs]:
        if not isinstance(given, str | Path):
            continue
        path = Path(given)
        for folder in (path, path / "filtered", path.parent):
            if (folder / "funnel.json").is_file() and (folder / "judgments.parquet").is_file():
                found.append(conform(pl.read_parquet(folder / "judgments.parquet"), JUDGMENTS))
                break
    return pl.concat([table.select(list(JUDGMENTS.columns)) for table in found])


def _estimate(pairs: pl.DataFrame, judge: Judge) -> AuditForecast:
    """Tokens are counted by the engine where that opens no model, and roughly where it would."""
    block = judge_block(judge, None)
    if not isinstance(block, ApiEngine | ScriptedEngine):
        return estimate(pairs, judge, Prices(), rough_tokens)
    known = priced(block, judge_model(judge)).prices if isinstance(block, ApiEngine) else None
    prices = known or Prices()
    with open_generator(block, ModelRef(judge_model(judge))) as engine:
        return estimate(pairs, judge, prices, engine.count_tokens)


def _measure(out: Path, subject: _Subject, member: JudgeWithEngine, seed: int, told: About) -> AuditReport:
    """Ask the judge, and write what comes of it into `out`. EngineError when it answered nothing at all."""
    asked = _ask(subject, member, draw(seed, "audit"))
    pairs, votes = asked.pairs, asked.votes
    if votes["error"].null_count() == 0:
        raise EngineError(
            f"the judge {member.config.name} answered none of {len(votes):,} questions: {votes['error'][0]}"
        )
    name = member.config.name
    others = subject.recorded.filter(pl.col("judge") != name)
    policies = pairs["policy"].unique().to_list() if "policy" in pairs.columns else []
    own = wrote(member.config, policies)
    found = report(pairs, pl.concat([votes, others]), name, seed, subject.gold, own)
    if asked.certificate is not None:
        found = with_certificate(found, asked.certificate)
    if subject.reading is not None:
        found = found.model_copy(update={"reading": subject.reading.to_dict()})
    conform(votes, JUDGMENTS).write_parquet(out / "judgments.parquet")
    told = told.model_copy(update={"sampled": pairs.height})
    write_audit(out, found, told, examples(pairs, votes, name, seed))
    return found


def _ask(subject: _Subject, member: JudgeWithEngine, seed: int) -> Certified:
    """Both orders of every pair; or of as many as a certificate takes."""
    share, gold = subject.certify, subject.gold
    if share is not None and gold is None:
        return certified(subject.pairs, subject.most, member, share, seed)
    votes = ask(subject.pairs, [member], rule=None, seed=seed)
    by_labels = None if share is None or gold is None else certified_by_labels(subject.pairs, gold, share)
    return Certified(subject.pairs, votes, by_labels)
