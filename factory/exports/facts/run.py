"""A run folder's numbers, collected once for card and report. What the folder does not hold is left out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from pydantic import BaseModel, ValidationError

from factory.config import Judge
from factory.exports.facts import FunnelFacts, Model, bin_width, counts, height, histogram, lengths, narrow, scan
from factory.exports.facts.bill import bill, prices_of
from factory.exports.facts.caveats import caveats
from factory.exports.facts.current import audited, rounds
from factory.exports.facts.judges import JudgeFacts, judge_facts, kept_verdicts
from factory.exports.facts.making import MAKINGS, PRINCIPLES, UNKNOWN, maker_of
from factory.exports.facts.models import AuditedGroup, AuditFacts, IterationFacts, RunFacts, SpreadLengths
from factory.exports.facts.public import public_config, public_name
from factory.exports.facts.recipe import recipe
from factory.files.json_text import read_lines, read_object
from factory.schema import REPLIES, VIEWS, logp_column
from factory.stages import order
from factory.stages.audit_sample import wrote
from factory.stages.health import Health
from factory.stages.quality import Quality
from factory.store import read_manifest
from filters.confounds import said

_POINTS = 300
_Model = TypeVar("_Model", bound=BaseModel)


def run_facts(root: Path) -> RunFacts:
    """Collect the facts of the run folder `root`."""
    head = read_object(root / "run.json")
    config: Mapping[str, Any] = head.get("config") or {}
    kept, rejected = scan(root / "filtered/kept.parquet"), scan(root / "filtered/rejected.parquet")
    numbers = rounds(root, config)
    everything = _narrow_all(root, numbers)
    manifests = [found for path in sorted(root.rglob("*.manifest.json")) if (found := read_manifest(path)) is not None]
    kept_counts = _counts(kept, "iteration")
    judgments, funnel = scan(root / "filtered/judgments.parquet"), _funnel(root / "filtered/funnel.json")
    return RunFacts(
        name=root.resolve().name,
        seed=head.get("seed"),
        version=head.get("sso_factory"),
        versions=head.get("versions") or {},
        config=public_config(config),
        recipe=recipe(config, root),
        maker=maker_of(config),
        models=_models(config),
        prompts_license=(config.get("prompts") or {}).get("license"),
        principles=_principles(config),
        iterations=[_iteration(root / "iterations" / str(number), number, kept_counts, config) for number in numbers],
        funnel=funnel,
        lengths=_lengths(kept, rejected, funnel),
        judges=_judges(judgments, everything, config),
        kept_verdicts=kept_verdicts(judgments, kept),
        prices=prices_of(config),
        caveats=caveats(config.get("policy") or {}, config.get("engine") or {}, kept) if kept is not None else [],
        quality=_quality(root / "filtered/funnel.json"),
        audit=_audit(root / "audit/audit.json", config) if audited(root, config) else None,
        seconds=_seconds(manifests),
        bill=bill(root),
        finished=_finished(manifests),
    )


def licenses(config: Mapping[str, Any]) -> dict[str, str | None]:
    """The licences of the prompts and of the model that wrote the replies, as a run's configuration names them."""
    return {part: (config.get(part) or {}).get("license") for part in ("prompts", "policy")}


def _narrow_all(root: Path, numbers: Iterable[int]) -> pl.DataFrame:
    """Lengths and groups of every pair that could have been judged."""
    places = [root / "iterations" / str(number) / "scores.parquet" for number in numbers]
    # Where nothing was scored, what was judged is what was kept or rejected.
    there = [p for p in places if p.is_file()] or [root / "filtered/kept.parquet", root / "filtered/rejected.parquet"]
    wanted = ("pair_id", "chosen", "rejected", "feature", "iteration")
    tables = [scan(path) for path in there]
    found = [t for t in tables if t is not None and {"pair_id", "chosen", "rejected"} <= set(t.collect_schema())]
    frames = [narrow(t.filter(pl.col("chosen").is_not_null(), pl.col("rejected").is_not_null())) for t in found]
    frames = [frame.select(name for name in wanted if name in frame.columns) for frame in frames]
    empty = pl.DataFrame(schema={"pair_id": pl.String, "chosen": pl.Int64, "rejected": pl.Int64})
    return pl.concat([empty, *frames], how="diagonal_relaxed")


def _models(config: Mapping[str, Any]) -> list[Model]:
    policy = config.get("policy") or {}
    found = [Model(role="policy", name=public_name(policy["model"]), license=policy.get("license"))] if policy else []
    pairs, parts = config.get("pairs") or {}, MAKINGS.get(maker_of(config), UNKNOWN).models.items()
    found += [Model(role=role, name=public_name(pairs[key])) for key, role in parts if pairs.get(key)]
    found += [_judge("judge", judge) for judge in config.get("judges") or []]
    auditor = (config.get("audit") or {}).get("judge")
    return [*found, _judge("auditor", auditor)] if auditor else found


def _judge(role: str, judge: Mapping[str, Any]) -> Model:
    return Model(role=role, name=public_name(judge.get("model") or judge["name"]), license=judge.get("license"))


def _principles(config: Mapping[str, Any]) -> dict[str, Any] | None:
    import principles
    from factory.errors import FactoryError

    name = (config.get("principles") or {}).get("set")
    if not name or maker_of(config) != PRINCIPLES:
        return None
    try:
        return principles.load(name).model_dump(mode="json")
    # The file of one's own set may be gone by now: the card then shows no principles.
    except FactoryError:
        return None


def _iteration(folder: Path, number: int, kept: Mapping[str, int], config: Mapping[str, Any]) -> IterationFacts:
    # What pairs made otherwise, or a training that is off by now, have left is none of the run's.
    trained = (config.get("training") or {}).get("method") != "none"
    return IterationFacts(
        number=number,
        prompts=height(scan(folder / "features.parquet")) if maker_of(config) == PRINCIPLES else None,
        pairs=height(scan(folder / "triples.parquet")),
        set_aside=_counts(scan(folder / "triples.rejected.parquet"), "reason"),
        likelihood=_likelihood(scan(folder / "scores.parquet")),
        kept=kept.get(str(number), 0) if kept else None,
        metrics=_metrics(folder / "metrics.jsonl") if trained else [],
    )


def _counts(table: pl.LazyFrame | None, column: str) -> dict[str, int]:
    """Rows per value of a column of a table; none where either is not there."""
    return {} if table is None else counts(table.select(f"^{column}$").collect(), column)


def _likelihood(scores: pl.LazyFrame | None) -> dict[str, float]:
    if scores is None:
        return {}
    known = scores.collect_schema()
    names = {f"{reply}_{view}": logp_column(reply, view) for reply in REPLIES for view in VIEWS}
    # e^{pi~} of each pair first, then the mean: the other way round it would be a geometric one.
    means = [pl.col(column).exp().mean().alias(name) for name, column in names.items() if column in known]
    row = scores.select(means).collect(engine="streaming").row(0, named=True) if means else {}
    return {name: value for name, value in row.items() if value is not None}


def _metrics(path: Path) -> list[dict[str, float | None]]:
    lines = list(read_lines(path))
    # Rounded up, so that at most _POINTS are left; the last line is kept whatever the stride.
    stride = max(1, -(-len(lines) // _POINTS))
    thin = [line for at, line in enumerate(lines) if at % stride == 0 or at == len(lines) - 1]
    return [{key: value for key, value in line.items() if _number(value)} for line in thin]


def _number(value: object) -> bool:
    # JSON as Python writes it has NaN and Infinity, as of a gradient that overflowed; a chart has no place for them.
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value))


def _as(model: type[_Model], values: object) -> _Model | None:
    """What a file of the run says; None where it is damaged, so that it is left out as one that is not there."""
    with suppress(ValidationError):
        return model.model_validate(values)
    return None


def _funnel(path: Path) -> FunnelFacts | None:
    found = read_object(path)
    return _as(FunnelFacts, {**found, "confounds": said(found.get("confounds") or [])})


def _judges(judgments: pl.LazyFrame | None, pairs: pl.DataFrame, config: Mapping[str, Any]) -> list[JudgeFacts]:
    """The judges, under names that say nothing of this machine."""
    if judgments is None:
        return []
    policy = (config.get("policy") or {}).get("model")
    named = [Judge(name=judge["name"], model=judge.get("model")) for judge in config.get("judges") or []]
    authors = [judge.name for judge in named if wrote(judge, [policy])]
    # Without the answers, which are nearly all of the table.
    found = judge_facts(judgments.select(pl.exclude("raw")).collect(), pairs, authors)
    return [one.model_copy(update={"health": _public(one.health)}) for one in found]


def _public(health: Health) -> Health:
    return health.model_copy(update={"judge": public_name(health.judge)})


def _quality(path: Path) -> Quality | None:
    """What funnel.json says of the kept pairs; folders of older versions say nothing."""
    found = _as(Quality, read_object(path).get("quality"))
    if found is None:
        return None
    shown = [one.model_copy(update={"judge": public_name(one.judge)}) for one in found.judges]
    return found.model_copy(update={"judges": shown})


def _lengths(
    kept: pl.LazyFrame | None, rejected: pl.LazyFrame | None, funnel: FunnelFacts | None
) -> list[SpreadLengths]:
    after = narrow(kept) if kept is not None else None
    if after is None or not after.height:
        return []
    tables = {**_balanced(after, rejected, funnel), "kept": after}
    # Of the first table, which holds the pairs of the other one too.
    width = bin_width(next(iter(tables.values())))
    return [
        SpreadLengths(lengths=lengths(table, name), histogram=histogram(table, width)) for name, table in tables.items()
    ]


def _balanced(
    after: pl.DataFrame, rejected: pl.LazyFrame | None, funnel: FunnelFacts | None
) -> dict[str, pl.DataFrame]:
    """What reached the length balance, as `before`, where there was one that dropped pairs."""
    # Where filters follow it, or it comes twice, tables do not tell what it saw.
    steps = [step.filter for step in funnel.steps] if funnel else []
    if steps.count("length_balance") != 1 or steps[-1] != "length_balance":
        return {}
    if rejected is None or not {"filter", "chosen"} <= set(rejected.collect_schema()):
        return {}
    dropped = narrow(rejected.filter(pl.col("filter") == "length_balance"))
    # What reached the balance is what it dropped and what it kept; relaxed, as rejected rows may lack a column.
    return {"before": pl.concat([dropped, after], how="diagonal_relaxed")} if dropped.height else {}


def _audit(path: Path, config: Mapping[str, Any]) -> AuditFacts | None:
    found = read_object(path)
    if not found.get("n"):
        return None
    strata = [row for row in found.get("strata") or [] if isinstance(row, dict)]
    judge = found.get("judge") or ((config.get("audit") or {}).get("judge") or {}).get("name")
    tallies = {by: _tallies(strata, by) for by in ("iteration", "feature")}
    groups = {by: rows for by, rows in tallies.items() if len(rows) > 1}
    audit = _as(AuditFacts, {**found, "groups": groups, "judge": public_name(judge) if judge else None})
    if audit is None or audit.health is None:
        return audit
    return audit.model_copy(update={"health": _public(audit.health)})


def _tallies(strata: list[dict[str, Any]], by: str) -> dict[str, AuditedGroup]:
    """The strata, which are iterations crossed with features, added up over one of the two."""
    sums: dict[str, Counter[str]] = {}
    known = [row for row in strata if row.get(by) is not None]
    # Numbers by value: iteration 10 comes after 2.
    for row in sorted(known, key=lambda row: (row[by] if isinstance(row[by], int) else 0, str(row[by]))):
        counted = {key: int(row.get(key) or 0) for key in AuditedGroup.model_fields}
        sums.setdefault(str(row[by]), Counter()).update(counted)
    return {name: AuditedGroup(**counted) for name, counted in sums.items()}


def _finished(manifests: Iterable[Mapping[str, Any]]) -> str | None:
    """The day the youngest file of a stage was written."""
    # The files' own times, as a manifest holds them: a folder that is copied gets new ones.
    times = [written for manifest in manifests for _, written, _ in manifest["outputs"].values()]
    return datetime.fromtimestamp(max(times) / 1e9, UTC).date().isoformat() if times else None


def _seconds(manifests: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    known = [(str(one["stage"]), one.get("seconds")) for one in manifests]
    found = {stage: float(seconds) for stage, seconds in known if isinstance(seconds, int | float)}
    # Filtering is part of counting towards a target.
    if any(name.endswith("/passed") for name in found):
        found.pop("filtered/filter", None)
    return dict(sorted(found.items(), key=lambda item: order(item[0])))
