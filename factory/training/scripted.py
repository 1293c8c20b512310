"""Training for the scripted engine: a policy folder without weights, made from the hash of what it was made from."""

from pathlib import Path
from typing import Any

import polars as pl

from factory.config import Training
from factory.errors import ConfigError
from factory.identity import digest
from factory.models.ref import ModelRef
from factory.progress import Progress
from factory.store import write_json
from factory.training.passing import deciding, passing


def stage(
    pairs: pl.DataFrame,
    policy: ModelRef,
    out: Path,
    config: Training,
    *,
    seed: int,
    iteration: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `out`/policy/policy.json and an empty metrics.jsonl; the facts of real training as far as they exist."""
    if not len(pairs):
        raise ConfigError("there is no pair to train on")
    settings = config.model_dump(mode="json")
    passed = passing(pairs, config)
    data = digest(sorted(passed.pairs["pair_id"]))
    made = digest([policy.identity, data, deciding(config), seed])
    record = {
        "parent": policy.called,
        "parent_identity": policy.identity,
        "iteration": iteration,
        "method": config.method,
        "data": data,
        "pairs": len(passed.pairs),
        "seed": seed,
        "config": settings,
        "fingerprint": made,
    }
    write_json(out / "policy" / "policy.json", record)
    (out / "metrics.jsonl").write_text("", "utf-8")
    return {"policy": "policy", "fingerprint": made, "pairs": len(passed.pairs), "dropped": passed.dropped, "steps": 0}
