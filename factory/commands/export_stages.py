"""The end of a run: its exports, each a stage that knows when what it reads changed, and the push to the Hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from factory.commands.export import ExportJob
from factory.config import Export
from factory.errors import ConfigError
from factory.exports import exporter
from factory.exports.frontmatter import require_license
from factory.exports.hub import push, token_for
from factory.exports.mix import without_benchmarks
from factory.progress import Progress, Silent
from factory.readers import fingerprint
from factory.store import RunFolder, Stage, Workspace

_ADDED = ("keep_system",)
"""Keys that exports have had only since run folders were about; at their default they change no file."""


def check_export(config: Export) -> None:
    """Raise ConfigError for an export that a run could not carry out at its end."""
    for name in config.formats:
        exporter(name)
    without_benchmarks(config.decontaminate)
    require_license(config.license)
    if config.push_to_hub:
        if len(config.formats) != 1:
            raise ConfigError("export.push_to_hub takes one format, as a data set has one; leave one in export.formats")
        token_for(config.push_to_hub)


def export_stages(
    folder: RunFolder, filtered: Stage, audit: Stage | None, config: Export, seed: int
) -> tuple[Stage, ...]:
    """The kept pairs of a run in each configured format, with card."""
    kept = filtered.folder / "kept.parquet"
    unset = {name for name in _ADDED if getattr(config, name) == Export.model_fields[name].default}
    inputs = {
        "kept": filtered.digest,
        "audit": audit.digest if audit else None,
        "config": config.model_dump(mode="json", exclude={"formats", "private", *unset}),
        "mix": [fingerprint(other.path) for other in config.mix],
        "decontaminate": [step.fingerprint() for step in without_benchmarks(config.decontaminate)],
        "seed": seed,
    }
    made = []
    for name in config.formats:

        def build(work: Workspace, name: str = name) -> dict[str, Any]:
            return export_into(work, pl.scan_parquet(kept), name, config, seed, folder.root, folder.progress)

        made.append(folder.stage(f"exports/{name}", inputs, build, [f"{name}/"]))
    return tuple(made)


def push_stage(folder: RunFolder, exports: Sequence[Stage], config: Export) -> str | None:
    """Push the run's export where the configuration names a place for it; returns the address.

    Pushed once: again when the export, the place or its being private changed.
    """
    repo = config.push_to_hub
    if repo is None:
        return None
    (export,) = exports

    def build(work: Workspace) -> dict[str, Any]:
        place = export.folder / export.name.rsplit("/", 1)[-1]
        return {"address": push(place, repo, private=config.private, progress=folder.progress)}

    inputs = {"export": export.digest, "repository": repo, "private": config.private}
    return str(folder.stage("exports/push", inputs, build).facts["address"])


def export_into(
    work: Workspace,
    pairs: pl.LazyFrame,
    name: str,
    config: Export,
    seed: int,
    root: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a run's pairs in the format `name` to the folder `name` of a workspace; returns facts for the manifest."""
    job = ExportJob(name, config, seed, root, progress or Silent())
    folder = work.path / name
    folder.mkdir(exist_ok=True)
    written, _ = job.write(pairs, folder)
    left = sum(written.left_out.values()) + written.set_aside
    return {"rows": sum(written.rows.values()), "splits": written.rows, "left_out": left}
