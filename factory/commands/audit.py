"""`audit`: how often a judge that neither wrote nor filtered pairs agrees; with labels, how many are right."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Unpack

import polars as pl

from factory.commands.audit_about import Seen, about, about_run
from factory.commands.audit_measure import Subject, looked_at, measure
from factory.commands.gold import read_gold
from factory.commands.recorded_votes import recorded_votes
from factory.config import Audit, Config, Judge
from factory.config.apis import ApiEngine, OpenaiEngine, Prices
from factory.config.engines import EngineBlock, ScriptedEngine
from factory.config.load import as_config
from factory.engines import open_generator
from factory.engines.api.accounts import Spending
from factory.engines.api.spending import priced
from factory.errors import InputError
from factory.files import PathLike
from factory.files.streaming import height, small_morsels
from factory.identity import DEFAULT_SEED, draw
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.readers import How, PairsLike, ReadOptions, fetched_once, fingerprint, how_to_read
from factory.readers.inputs.on_disk import places
from factory.readers.told import read_and_tell, tell_set_aside
from factory.schema import JUDGMENTS
from factory.stages import STAGES
from factory.stages.asked_models import judge_block, judge_fingerprint, judge_model, open_judges
from factory.stages.audit_model import AuditReport
from factory.stages.audit_sample import AuditForecast, check_independent, estimate, rough_tokens
from factory.stages.audit_sample import sample as sample_pairs
from factory.stages.certify import random_order
from factory.stages.gold import is_file
from factory.stages.parts import in_order
from factory.stages.pool import EnginePool
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
        return _estimate(subject, settings.judge)
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
            return measure(work.path, subject, member, seed, told).model_dump(mode="json")

    with open_run(Path(out), shown) as folder:
        facts = folder.stage("audit", inputs, build, STAGES["audit"].files()).facts
    return AuditReport.model_validate({name: facts[name] for name in AuditReport.model_fields if name in facts})


def audit_into(
    work: Workspace, kept: Path, judge: Judge, engines: EnginePool, run: Config, votes: Path
) -> dict[str, Any]:
    """The audit that closes a run, of the `kept` pairs, made in a stage's workspace.

    `votes` are the filter judges', for agreement, where there are any.
    """
    seed = run.run.seed
    pairs = pl.scan_parquet(kept, glob=False)
    if not pairs.head(1).collect().height:
        raise InputError("the filters kept no pair, so there is none to audit; see filtered/funnel.json, and ease them")
    recorded = pl.scan_parquet(votes, glob=False) if votes.is_file() else JUDGMENTS.empty().lazy()
    drawn = sample_pairs(pairs, run.audit.sample, seed)
    seen = Seen(pairs.select(pl.len()).collect().item(), 0, len(drawn))
    subject = Subject(pairs, drawn, recorded, seen)
    member = open_judges([judge], run.engine, engines, work.journal, role="audit")[0]
    told = about_run(kept, seen, judge, seed, run)
    return measure(work.path, subject, member, seed, told).model_dump(mode="json")


class _Settings(NamedTuple):
    judge: Judge
    sample: int | None
    allow_self: bool


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
    # Read once for both: of two readings polars would have the files of both in hand at the same time.
    named = [pl.col(name).cast(pl.String) for name in ("policy", "rejected_by") if name in pairs.collect_schema()]
    found = pairs.select(named).unique().collect(engine="streaming")
    return [name for column in found for name in column]


def _subject(
    pairs: PairsLike,
    how: How,
    settings: _Settings,
    gold: str | None,
    seed: int,
    shown: Progress,
    certify: float | None,
) -> Subject:
    if certify is not None:
        Certifier(1, certify)  # what is no share is told before anything is read
    split, reading = read_and_tell(pairs, how, shown)
    recorded = recorded_votes(pairs)
    if not settings.allow_self:
        voted = recorded.select("judge").unique().collect(engine="streaming")["judge"].to_list()
        check_independent(settings.judge, _writers(split.kept), voted)
    labels = None if gold is None else read_gold(gold, split.kept, pairs, how)
    whole = certify is not None and labels is None  # drawn while the judge is asked
    drawn = sample_pairs(split.kept, None if whole else settings.sample, seed, labels)
    reasons = split.reasons()
    tell_set_aside(reasons, shown)
    if not len(drawn):
        raise InputError("there are no pairs to audit in what was given")
    if labels is not None:
        _tell_labels(labels, drawn, shown)
    rows = height(split.kept)
    seen = Seen(rows, sum(reasons.values()), len(drawn))
    told = reading._replace(set_aside=reasons)
    ordered = random_order(drawn, draw(seed, "audit")) if whole else drawn
    # Each pair once, as they are drawn: rows may hold one twice.
    there = None if settings.sample is None else split.kept.select(pl.col("pair_id").n_unique())
    population = None if there is None else there.collect(engine="streaming").item()
    return Subject(split.kept, ordered, recorded, seen, labels, certify, settings.sample, told, population)


def _tell_labels(labels: pl.DataFrame, drawn: pl.Series, shown: Progress) -> None:
    """Say how many pairs have a label. InputError where none has."""
    used = drawn.to_frame("pair_id").join(labels, on="pair_id", how="semi").height
    if not used:
        raise InputError(f"none of the {labels.height:,} labels is of a pair in what was given; label these pairs")
    others = f"; {labels.height - used:,} are of other pairs" if used < labels.height else ""
    shown.say(f"{used:,} of {len(drawn):,} pairs have a person's label{others}")


def _estimate(subject: Subject, judge: Judge) -> AuditForecast:
    """Tokens are counted by the engine where that opens no model, and roughly where it would."""
    with TemporaryDirectory(prefix="sso-factory-") as folder:
        return _counted(in_order(Path(folder), looked_at(subject.pairs), subject.ids), judge)


def _counted(pairs: pl.LazyFrame, judge: Judge) -> AuditForecast:
    block = judge_block(judge, None)
    if not isinstance(block, ApiEngine | ScriptedEngine):
        return estimate(pairs, judge, Prices(), rough_tokens)
    known = priced(block, judge_model(judge)).prices if isinstance(block, ApiEngine) else None
    prices = known or Prices()
    with open_generator(block, ModelRef(judge_model(judge))) as engine:
        return estimate(pairs, judge, prices, engine.count_tokens)
