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
            votes, pairs = pl.scan_parquet(path), pl.scan_parquet(kept)
            judge = votes.select(pl.min("judge")).collect(engine="streaming").item()
            on_kept = votes.join(pairs.select("pair_id"), on="pair_id", how="semi")
            found = [] if judge is None else examples(pairs, [on_kept], judge, seed)
            if found:
                return public_name(judge), found
    return None
