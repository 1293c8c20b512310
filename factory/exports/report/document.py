"""What makes a run's report a document one can file: what was read and judged by what, and verdicts as they came."""

from pathlib import Path
from typing import Any

import polars as pl

from factory.exports.facts.models import RunFacts
from factory.exports.facts.public import public_name
from factory.exports.pages.document import JudgedExample, examples, source_of, today
from factory.store import read_manifest


def facts(run: RunFacts, root: Path) -> list[tuple[str, str]]:
    """Name and value of each fact that the run folder holds."""
    found = [("run", run.name), ("seed", str(run.seed)), ("command", "sso-factory run CONFIG.yaml")]
    read = (read_manifest(root / "prompts.manifest.json") or {"inputs": {}})["inputs"]
    if "prompts" in read:
        found.append(("prompts, content hash", str(read["prompts"])))
    kept = root / "filtered/kept.parquet"
    if kept.is_file():
        source = source_of(kept)
        found.append((f"file {source.name}", f"SHA-256 {source.sha256}"))
    if run.funnel:
        found.append(("pairs, and kept ones", f"{run.funnel.input:,} and {run.funnel.kept:,}"))
    for stage, part in (("filtered/filter", "judge"), ("audit/audit", "auditor")):
        found += [(f"template of {part} {name}", f"hash {made}") for name, made in _templates(root, stage)]
    if run.audit is not None:
        found.append(("pairs audited", f"{run.audit.n + run.audit.invalid:,}"))
    return [*found, ("report written", today())]


def _templates(root: Path, stage: str) -> list[tuple[str, str]]:
    """Judge and hash of its template, as the stage's manifest has them."""
    inputs: dict[str, Any] = (read_manifest(root / f"{stage}.manifest.json") or {"inputs": {}})["inputs"]
    listed = [*(inputs.get("judges") or []), *([inputs["judge"]] if inputs.get("judge") else [])]
    return [(public_name(judge["name"]), judge["template"]) for judge in listed if {"name", "template"} <= judge.keys()]


def verdict_examples(root: Path, seed: int) -> tuple[str, list[JudgedExample]] | None:
    """A judge, the auditor where there was one, and some kept pairs of each kind of its verdicts."""
    kept = root / "filtered/kept.parquet"
    for path in (root / "audit/judgments.parquet", root / "filtered/judgments.parquet"):
        if kept.is_file() and path.is_file():
            votes = pl.read_parquet(path)
            judges = votes["judge"].unique().sort()
            ids = votes.lazy().select("pair_id").unique()
            pairs = pl.scan_parquet(kept).join(ids, on="pair_id", how="semi").select("pair_id")
            chosen = _few(pairs.collect(engine="streaming"), votes, judges[0], seed) if len(judges) else None
            if chosen is None:
                continue
            rows = pl.scan_parquet(kept).join(chosen.lazy(), on="pair_id", how="semi").collect(engine="streaming")
            return public_name(judges[0]), examples(rows, votes, judges[0], seed)
    return None


def _few(ids: pl.DataFrame, votes: pl.DataFrame, judge: str, seed: int) -> pl.DataFrame | None:
    """The ids of the pairs that `examples` would take, found without their texts."""
    bare = ids.with_columns(
        prompt=pl.lit(None, pl.List(pl.Struct({"role": pl.String, "content": pl.String}))),
        chosen=pl.lit(""),
        rejected=pl.lit(""),
    )
    found = examples(bare, votes, judge, seed)
    return pl.DataFrame({"pair_id": [example.pair_id for example in found]}) if found else None
