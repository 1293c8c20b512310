"""Checkpoints of a training that may be killed: which one to go on from, and whether it belongs to this training."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from factory.store import write_json
from factory.training.stats import MetricsFile

_OWNER = "training.json"


def claim(out: Path, identity: str) -> None:
    """Make `out` the work folder of the training `identity`; what another training left there is removed.

    Its metrics end with the last checkpoint: the steps after it are done again.
    """
    out.mkdir(parents=True, exist_ok=True)
    owner, metrics = out / _OWNER, out / "metrics.jsonl"
    if not owner.exists() or json.loads(owner.read_text("utf-8")).get("training") != identity:
        clear(out)
        metrics.unlink(missing_ok=True)
        write_json(owner, {"training": identity})
    else:
        MetricsFile(metrics).rewind(last(out).step)


class Checkpoint(NamedTuple):
    """Where a training goes on from."""

    folder: str | None
    """None: it begins."""
    step: int
    """Optimiser steps that are done."""


def last(out: Path) -> Checkpoint:
    """The latest whole checkpoint; its state file is written last, so one without it is torn and not used."""
    folders = {}
    for path in out.glob("checkpoint-*"):
        with suppress(OSError, ValueError, KeyError):
            folders[int(json.loads((path / "trainer_state.json").read_text("utf-8"))["global_step"])] = str(path)
    # By their steps, not their names: checkpoint-10 comes after checkpoint-9.
    step = max(folders, default=0)
    return Checkpoint(folders.get(step), step)


def clear(out: Path) -> None:
    """Remove the checkpoints and the claim."""
    for path in out.glob("checkpoint-*"):
        # First, as it is what says that the others are there, and a kill may come at any of them.
        (path / "trainer_state.json").unlink(missing_ok=True)
        shutil.rmtree(path)
    (out / _OWNER).unlink(missing_ok=True)
