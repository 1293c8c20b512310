"""The kept pairs in one format, with card."""

from typing import Any

import polars as pl

from factory.commands.export import export_into
from factory.config import Export
from factory.errors import InputError
from factory.exports.destinations.mix import without_benchmarks
from factory.exports.facts.bill import prices_of
from factory.exports.facts.recipe import recipe
from factory.exports.facts.run import licenses
from factory.line.steps import Facts, Steps
from factory.readers import fingerprint
from factory.store import Stage, Workspace
from filters.funnel import Funnel

_ADDED = ("keep_system", "language")
_AS_IT_COMES = Export()
"""Keys that exports have had only since run folders were about; at their default they change no file."""


def inputs(steps: Steps, filtered: Stage, audit: Stage | None, name: str) -> Facts:
    """What is written, and all that the card says of it."""
    config, run = steps.config.export, steps.config.model_dump(mode="json")
    unset = {name for name in _ADDED if getattr(config, name) == getattr(_AS_IT_COMES, name)}
    return {
        "kept": filtered.digest,
        "audit": audit.digest if audit else None,
        "config": config.model_dump(mode="json", exclude={"formats", "private", *unset}),
        "mix": [fingerprint(other.path) for other in config.mix],
        "decontaminate": [step.fingerprint() for step in without_benchmarks(config.decontaminate)],
        "seed": steps.seed,
        "card": {"recipe": recipe(run), "licenses": licenses(run), "prices": prices_of(run)},
    }


def make(steps: Steps, work: Workspace, filtered: Stage, audit: Stage | None, name: str) -> dict[str, Any]:
    """Into the folder `name`."""
    _require_kept(filtered)
    folder, run = work.path / name, steps.folder
    folder.mkdir(exist_ok=True)
    kept, told = pl.scan_parquet(filtered.folder / "kept.parquet", glob=False), run.progress
    written, _ = export_into(folder, kept, name, steps.config.export, seed=steps.seed, root=run.root, progress=told)
    left = sum(written.left_out.values()) + written.set_aside
    return {"rows": sum(written.rows.values()), "splits": written.rows, "left_out": left}


def _require_kept(filtered: Stage) -> None:
    """InputError with what each filter dropped, where no pair is left."""
    funnel = Funnel.read(filtered.folder / "funnel.json")
    if not funnel.kept:
        dropped = [f"{step.filter} {reason} {count}" for step in funnel.steps for reason, count in step.reasons.items()]
        raise InputError(
            f"the filters kept none of {funnel.input} pairs, so there is nothing to export; dropped: "
            f"{', '.join(dropped) or 'none'}; {filtered.folder / 'rejected.parquet'} has each with its reason"
        )
