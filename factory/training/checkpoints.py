"""Checkpoints of a training that may be killed: which one to go on from, and whether it belongs to this training."""

import json
import shutil
from pathlib import Path

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
        MetricsFile(metrics).rewind(step_of(last(out)))


def last(out: Path) -> Path | None:
    """The latest whole checkpoint; its state file is written last, so one without it is torn and not used."""
    # By their steps, not their names: checkpoint-10 comes after checkpoint-9.
    whole = [path for path in out.glob("checkpoint-*") if _step(path) is not None]
    return max(whole, key=lambda path: _step(path) or 0, default=None)


def step_of(checkpoint: Path | None) -> int:
    """Optimiser steps done at `checkpoint`; 0 without one."""
    return 0 if checkpoint is None else _step(checkpoint) or 0


def _step(path: Path) -> int | None:
    try:
        return int(json.loads((path / "trainer_state.json").read_text("utf-8"))["global_step"])
    except (OSError, ValueError, KeyError):
        return None


def clear(out: Path) -> None:
    """Remove the checkpoints and the claim."""
    for path in out.glob("checkpoint-*"):
        shutil.rmtree(path)
    (out / _OWNER).unlink(missing_ok=True)
