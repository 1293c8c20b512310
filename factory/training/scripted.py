"""Training for the scripted engine: a policy folder without weights, made from the hash of what it was made from."""

from typing import Any

from factory.errors import ConfigError
from factory.identity import digest
from factory.store import write_json
from factory.training import TrainingJob
from factory.training.passing import deciding, passing


def stage(job: TrainingJob) -> dict[str, Any]:
    """Write policy.json and an empty metrics.jsonl; the facts of real training as far as they exist."""
    if not len(job.pairs):
        raise ConfigError("there is no pair to train on")
    passed = passing(job.pairs, job.config)
    data, count = digest(sorted(passed.pairs["pair_id"])), len(passed.pairs)
    made = digest([job.policy.identity, data, deciding(job.config), job.seed])
    write_json(job.out / "policy" / "policy.json", {**job.record(data, count), "fingerprint": made})
    (job.out / "metrics.jsonl").write_text("", "utf-8")
    return {"policy": "policy", "fingerprint": made, "pairs": count, "dropped": passed.dropped, "steps": 0}
