"""Which pairs a training block takes, what of it changes the weights, and the training of the scripted engine."""

from typing import Any, NamedTuple

import polars as pl

from factory.config import Training
from factory.errors import ConfigError
from factory.identity import digest
from factory.schema import REJECTED, LazySplit
from factory.store import write_json
from factory.training import SAME_WEIGHTS, TrainingJob
from filters import build
from filters.funnel import FLAGS, apply


class Passing(NamedTuple):
    """The pairs to train on, and how many were left out by which filter for which reason."""

    pairs: pl.DataFrame
    dropped: dict[str, int]


def passing(pairs: pl.DataFrame, config: Training) -> Passing:
    """What passes `training.filters`. Raises ConfigError for a filter that needs votes, and where nothing passes."""
    if not config.filters:
        return Passing(pairs, {})
    found = apply(LazySplit(pairs.lazy(), REJECTED.empty().lazy()), build(config.filters))
    dropped = {f"{step.filter}: {reason}": n for step in found.funnel.steps for reason, n in step.reasons.items()}
    kept = found.kept.drop(FLAGS, strict=False).collect()
    if pairs.height and not kept.height:
        raise ConfigError(f"training.filters: no pair of {pairs.height} passes ({dropped}); ease them")
    return Passing(kept, dropped)


def deciding(config: Training) -> dict[str, Any]:
    """What of a training block changes the weights; filters where there are any, so that older trainings still fit."""
    filters = [one.fingerprint() for one in build(config.filters)]
    known = config.model_dump(mode="json", exclude={*SAME_WEIGHTS, "filters"})
    return {**known, **({"filters": filters} if filters else {})}


def stage(job: TrainingJob) -> dict[str, Any]:
    """For the scripted engine: policy.json of a policy without weights, and an empty metrics.jsonl."""
    if not len(job.pairs):
        raise ConfigError("there is no pair to train on")
    passed = passing(job.pairs, job.config)
    data, count = digest(sorted(passed.pairs["pair_id"])), len(passed.pairs)
    made = digest([job.policy.identity, data, deciding(job.config), job.seed])
    write_json(job.out / "policy" / "policy.json", {**job.record(data, count), "fingerprint": made})
    (job.out / "metrics.jsonl").write_text("", "utf-8")
    return {"policy": "policy", "fingerprint": made, "pairs": count, "dropped": passed.dropped, "steps": 0}
