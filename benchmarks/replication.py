"""The paper's claims in miniature: three iterations from the same start by each method, with programs as judges.

    python benchmarks/replication.py --out runs/replication                    everything that is not there yet
    python benchmarks/replication.py --out runs/replication --methods sso --seeds 1
    python benchmarks/replication.py --out runs/replication --report docs      tables and plots of what is there

Each method and seed is resumable by itself, down to the training step; the pairs of the first iteration are the same
for all methods of a seed. After the last training a round of pairs is generated to be looked at only. OUT/results/
gets a JSON file for each method and seed.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from benchmarks.replication_oracles import prompts, verdict
from benchmarks.replication_report import write_report
from factory.config import BUNDLED_MODEL, Principles, Sampling, Training
from factory.config.engines import TransformersEngine
from factory.engines import open_generator, open_scorer
from factory.engines.base import Reply, ScoreRequest
from factory.identity import draw, prompt_id
from factory.models.ref import ModelRef
from factory.schema import FEATURES, MESSAGES, conform
from factory.stages.contrast import contrast
from factory.stages.features import draw_feature
from factory.stages.triples import triples
from factory.store import write_json
from factory.training.run import train
from factory.views import view_messages
from principles import load

METHODS = ("sso", "sso_no_w", "sso_no_g", "pbaa")
PRINCIPLES = load(ROOT / "benchmarks" / "replication.yaml")
ENGINE = TransformersEngine(dtype="float32", batch_tokens=8192)


class Plan(NamedTuple):
    """The size of the experiment; all of it is in the results."""

    model: str = BUNDLED_MODEL
    iterations: int = 3
    prompts: int = 48
    tokens: int = 40
    batch_pairs: int = 16
    epochs: int = 1
    learning_rate: float = 5e-5
    gamma: float = 0.1
    beta: float = 0.2


def run(out: Path, method: str, seed: int, plan: Plan) -> None:
    """All iterations of one method and seed that are not done yet."""
    folder = out / f"seed-{seed}" / method
    policy, records = ModelRef(plan.model), []
    for iteration in range(1, plan.iterations + 2):
        place = (out / f"seed-{seed}" / "first") if iteration == 1 else folder / f"{iteration}"
        began = time.monotonic()
        pairs = once(place / "pairs.parquet", lambda i=iteration, p=policy: generate(p, seed, i, plan))
        pairs = once(place / "scored.parquet", lambda t=pairs, p=policy: with_plain_scores(t, p))
        records.append({"iteration": iteration, **measures(pairs)})
        if iteration <= plan.iterations:
            previous, policy = policy, trained(policy, pairs, folder / f"{iteration}", method, seed, iteration, plan)
            if iteration > 1:
                shutil.rmtree(previous.name, ignore_errors=True)  # half a gigabyte that nothing reads again
        print(f"{method} seed {seed} iteration {iteration}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        result = {"method": method, "seed": seed, "plan": plan._asdict(), "iterations": records}
        write_json(out / "results" / f"{method}-{seed}.json", result)


def once(path: Path, make: Any) -> pl.DataFrame:
    """The table at `path`, made when it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        make().write_parquet(draft)
        draft.rename(path)
    return pl.read_parquet(path)


def generate(policy: ModelRef, seed: int, iteration: int, plan: Plan) -> pl.DataFrame:
    """The iteration's pairs: its own prompts, a drawn feature each, the three replies."""
    texts = sorted(prompts(), key=lambda text: draw(seed, "portion", text))
    texts = texts[(iteration - 1) * plan.prompts : iteration * plan.prompts]
    turns = [[{"role": "user", "content": text}] for text in texts]
    ids = [prompt_id(turn) for turn in turns]
    asked = pl.DataFrame({"prompt_id": ids, "prompt": turns}, schema_overrides={"prompt": MESSAGES})
    drawn = [draw_feature(None, PRINCIPLES, one, seed, iteration) for one in ids]
    columns = {"prompt_id": ids, "feature": [d.feature for d in drawn], "feature_source": [d.source for d in drawn]}
    features = conform(pl.DataFrame(columns), FEATURES)
    contrasted = contrast(asked, features, PRINCIPLES, Principles(), None, seed, iteration)
    sampling = Sampling(max_new_tokens=plan.tokens)
    with open_generator(ENGINE, policy) as engine:
        made = triples(asked, contrasted, engine, sampling, seed, iteration, "replication", policy.name)
    return made.kept


def with_plain_scores(pairs: pl.DataFrame, policy: ModelRef) -> pl.DataFrame:
    """pi~ of the replies under the prompt alone, by the policy that wrote them; training measures the rest."""
    requests = [
        ScoreRequest(
            row["pair_id"],
            view_messages(row["prompt"]),
            tuple(Reply(row[reply], row[f"finish_{reply}"] != "length") for reply in ("chosen", "rejected")),
        )
        for row in pairs.iter_rows(named=True)
    ]
    with open_scorer(ENGINE, policy) as engine:
        scores = [(score.id, *score.logps) for score in engine.score(requests)]
    names = ["pair_id", "logp_chosen_plain", "logp_rejected_plain"]
    table = pl.DataFrame(scores, schema=dict.fromkeys(names[:1], pl.String) | dict.fromkeys(names[1:], pl.Float64),
                         orient="row")  # fmt: skip
    return pairs.join(table, on="pair_id", how="left")


def trained(
    policy: ModelRef, pairs: pl.DataFrame, out: Path, method: str, seed: int, iteration: int, plan: Plan
) -> ModelRef:
    """The next policy. Training that was broken off goes on from its checkpoint."""
    done = out / "policy" / "policy.json"
    marker = out / "trained.json"
    if not marker.exists():
        config = Training(
            method=method,
            learning_rate=plan.learning_rate,
            lr_scheduler="constant",
            warmup_ratio=0.0,
            batch_pairs=plan.batch_pairs,
            micro_batch_tokens=2048,
            epochs=plan.epochs,
            gamma=plan.gamma,
            beta=plan.beta,
            save_steps=1000,
        )
        train(pairs, policy, out, config, seed=draw(seed, "train", iteration), iteration=iteration)
        write_json(marker, {"fingerprint": json.loads(done.read_text())["fingerprint"]})
    fingerprint = json.loads(marker.read_text())["fingerprint"]
    return ModelRef(str(out / "policy"), fingerprint=fingerprint)


def measures(pairs: pl.DataFrame) -> dict[str, Any]:
    """What the oracles and the policy itself say about the pairs of an iteration."""
    found = [verdict(row["feature"], row["chosen"], row["rejected"]) for row in pairs.iter_rows(named=True)]
    by_feature = {
        feature: [v for v, f in zip(found, pairs["feature"], strict=True) if f == feature]
        for feature in PRINCIPLES.by_name
    }
    count = {reply: pairs[reply].str.split(" ").list.len().mean() for reply in ("chosen", "rejected", "original")}
    e = {reply: pairs[f"logp_{reply}_plain"].exp().mean() for reply in ("chosen", "rejected")}
    return {
        "pairs": len(pairs),
        **tally(found),
        "features": {feature: tally(values) for feature, values in by_feature.items()},
        "words": count,
        "tokens": {reply: pairs[f"tokens_{reply}"].mean() for reply in ("chosen", "rejected", "original")},
        "on_policy": e,
        "gap": (pairs["logp_chosen_plain"] - pairs["logp_rejected_plain"]).mean(),
    }


def tally(verdicts: list[int]) -> dict[str, Any]:
    """Right, even and wrong; accuracy leaves the even ones out, and is null where all are."""
    right, wrong = verdicts.count(1), verdicts.count(-1)
    accuracy = right / (right + wrong) if right + wrong else None
    return {"right": right, "even": verdicts.count(0), "wrong": wrong, "accuracy": accuracy}


def main() -> None:
    """Run what is asked for, or report on what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--report", type=Path, help="folder for replication.md and replication.png; runs nothing")
    for name, value in Plan._field_defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    asked = parser.parse_args()
    if asked.report:
        write_report(asked.out / "results", asked.report, "python benchmarks/replication.py --out runs/replication")
        return
    plan = Plan(**{name: getattr(asked, name) for name in Plan._fields})
    for seed in asked.seeds:
        for method in asked.methods:
            run(asked.out, method, seed, plan)


if __name__ == "__main__":
    main()
