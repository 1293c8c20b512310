"""A made-up run folder of a whole run, with the shapes and sizes of a real one, for card and report."""

import json
import random
from pathlib import Path
from typing import Any

import polars as pl

from factory.schema import JUDGMENTS, ORDERS, REPLIES, VIEWS, conform, logp_column
from filters.votes import first_order
from tests.pairs import SYSTEM, assistant, pair, table, user

FEATURES = (
    "Engagement",
    "Accuracy",
    "Literariness",
    "Helpfulness",
    "Comprehensiveness",
    "Logicality",
    "Safety",
    "Concision",
)
SUBJECTS = (
    "The tide",
    "A good loaf of bread",
    "Binary search",
    "The violin",
    "A small team",
    "Rain",
    "The city budget",
)
VERBS = (
    "depends on",
    "can be explained by",
    "is shaped by",
    "rarely survives",
    "begins with",
    "is best learned through",
)
OBJECTS = (
    "patience",
    "the pull of the moon",
    "careful measurement",
    "a clear order of steps",
    "heat and time",
    "practice",
)
ASKS = (
    "Explain how {s} works to a child of ten.",
    "Write a short letter to the mayor about {s}.",
    "What should I know about {s} before I start? Give me three points.",
    "Compare {s} with something nobody would compare it with.",
    "Summarise what matters about {s} in one paragraph.",
)  # fmt: skip
NASTY = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'> ![x](https://evil.example/x.png) </script>"
)
ITERATIONS = 3
JUDGES = ("judge-large", "judge-small")
FINISH = {"finish_chosen": "stop", "finish_rejected": "stop", "finish_original": "stop"}


def _text(draws: random.Random, sentences: int) -> str:
    made = [
        f"{draws.choice(SUBJECTS)} {draws.choice(VERBS)} {draws.choice(OBJECTS)}, and {draws.choice(OBJECTS)} follows."
        for _ in range(sentences)
    ]
    return "\n\n".join(" ".join(made[i : i + 4]) for i in range(0, len(made), 4))


def _prompt(draws: random.Random, number: int) -> list[dict[str, str]]:
    ask = draws.choice(ASKS).format(s=draws.choice(SUBJECTS).lower())
    turns = [user(f"{ask} (request {number})")]
    if number % 9 == 0:
        turns += [assistant(_text(draws, 2)), user("Say it again, and shorter.")]
    return [SYSTEM, *turns] if number % 13 == 0 else turns


def _pair(draws: random.Random, number: int, iteration: int, long: int) -> dict[str, Any]:
    feature = draws.choice(FEATURES)
    replies = {
        "chosen": _text(draws, draws.randint(3, 9) * long + iteration),
        "rejected": _text(draws, draws.randint(2, 9) * long),
        "original": _text(draws, draws.randint(3, 8) * long),
    }
    if number % 50 == 7:
        replies["rejected"] += f"\n\n{NASTY}"
    lengths = {f"tokens_{name}": len(text) // 5 for name, text in replies.items()}
    base = {"chosen": -0.9, "rejected": -1.5, "original": -0.8}
    bonus = {("chosen", "good"): 0.1, ("chosen", "bad"): -0.5, ("rejected", "bad"): 0.6, ("rejected", "good"): -0.4}
    logps = {
        logp_column(r, v): base[r] + bonus.get((r, v), -0.05) + 0.06 * iteration + draws.gauss(0, 0.15)
        for r in REPLIES
        for v in VIEWS
    }
    return pair(
        _prompt(draws, number),
        replies["chosen"],
        replies["rejected"],
        original=replies["original"],
        feature=feature,
        feature_source="fallback" if draws.random() < 0.07 else "allocated",
        principle_source="set",
        system_good=f"Write as {feature} asks. Do not mention features or principles in the reply.",
        system_bad=f"Write against what {feature} asks. Do not mention features or principles in the reply.",
        source=draws.choice(("questions", "tasks")),
        method="sso",
        policy="bundled:smollm2-135m-instruct" + (f"@sso-{iteration - 1}" if iteration > 1 else ""),
        iteration=iteration,
        **{**FINISH, "finish_rejected": "length" if draws.random() < 0.05 else "stop"},
        **lengths,
        **logps,
    )


def _votes(draws: random.Random, row: dict[str, Any], judge: str) -> list[dict[str, Any]]:
    """Frugal votes of a judge that likes the first slot and long replies a little."""
    first = first_order(row["pair_id"], judge)
    full = draws.random() < 0.1
    made: list[dict[str, Any]] = []
    for order in (first, ORDERS[1 - ORDERS.index(first)]):
        lean = 0.72 + (0.1 if order == ORDERS[0] else -0.1)
        lean += 0.06 if len(row["chosen"]) > len(row["rejected"]) else -0.06
        vote = None if draws.random() < 0.01 else ("chosen" if draws.random() < lean else "rejected")
        spent = {"prompt_tokens": row["tokens_chosen"] + row["tokens_rejected"] + 180, "completion_tokens": 2}
        cost = spent["prompt_tokens"] * 2.5e-6
        made.append({"pair_id": row["pair_id"], "judge": judge, "order": order, "vote": vote, **spent, "cost": cost})
        if vote == "chosen" and not full:
            break
    return made


def _write(path: Path, frame: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1))


def _iteration(root: Path, rows: list[dict[str, Any]], number: int, draws: random.Random) -> None:
    folder = root / "iterations" / str(number)
    frame = table(rows)
    features = frame.select("prompt_id", "feature", "feature_source", allocated=pl.concat_list("feature"))
    _write(folder / "features.parquet", features.with_columns(raw=pl.col("feature"), error=pl.lit(None, pl.String)))
    contrast = ("prompt_id", "feature", "feature_source", "principle_source", "system_good", "system_bad")
    _write(folder / "contrast.parquet", frame.select(contrast))
    _write(folder / "triples.parquet", frame.select(name for name in frame.columns if not name.startswith("logp_")))
    set_aside = frame.head(4).select(pl.lit("triples").alias("filter"), pl.lit("equal").alias("reason"), pl.all())
    _write(folder / "triples.rejected.parquet", set_aside.with_columns(chosen=pl.lit(None, pl.String)))
    _write(folder / "scores.parquet", frame)
    lines = [
        {
            "step": step,
            "epoch": step / 40,
            "loss": 3.1 - 0.4 * (step / 40) - 0.2 * number + draws.gauss(0, 0.08),
            "margin": 0.02 * step / 40 * number + draws.gauss(0, 0.01),
            "accuracy": min(1.0, 0.5 + 0.2 * step / 40 + draws.gauss(0, 0.03)),
            "weight": 0.7,
            "steering": 3.0,
            "on_policy_chosen": 0.42,
            "on_policy_rejected": None,
        }
        for step in range(1, 41)
    ]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"step": 41, "lo')
    _json(folder / "policy" / "policy.json", {"parent": "bundled:smollm2-135m-instruct", "iteration": number})
    used = {f"replies {number}": _used(3 * len(rows), 90_000, 60_000, 0.3, 70.0 * number)}
    _manifest(root, f"iterations/{number}/triples", 80.0 * number, used)


def _manifest(root: Path, stage: str, seconds: float, used: dict[str, Any] | None = None) -> None:
    shape = {"version": 1, "fingerprint": "", "inputs": {}, "outputs": {}, "facts": {}, "used": used or {}}
    _json(root / f"{stage}.manifest.json", {**shape, "stage": stage, "seconds": seconds})


def _used(requests: int, prompt_tokens: int, completion_tokens: int, cost: float, seconds: float) -> dict[str, Any]:
    spent = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "cost": cost}
    return {"requests": requests, **spent, "asked": requests, "seconds": seconds, "setting": "s"}


def _filtered(root: Path, rows: list[dict[str, Any]], draws: random.Random) -> pl.DataFrame:
    votes = [vote for row in rows if len(row["chosen"]) % 11 for judge in JUDGES for vote in _votes(draws, row, judge)]
    judgments = conform(pl.DataFrame(votes, infer_schema_length=None), JUDGMENTS)
    wrong = {row["pair_id"] for row in votes if row["judge"] == JUDGES[0] and row["vote"] == "rejected"}
    everything = table(rows)
    chosen, rejected = (pl.col(name).str.len_chars() for name in ("chosen", "rejected"))
    gap, judged = chosen % 11 == 0, pl.col("pair_id").is_in(wrong)
    live = everything.filter(~gap, ~judged)
    surplus = live.filter(chosen > rejected).height - live.filter(chosen < rejected).height
    longer = pl.col("pair_id").is_in(
        live.filter(chosen > rejected).sort("pair_id").head(max(0, surplus))["pair_id"].implode()
    )
    reason = (
        pl.when(gap)
        .then(pl.lit("length_gap too_long"))
        .when(judged)
        .then(pl.lit("judge_agrees prefers_rejected"))
        .when(longer)
        .then(pl.lit("length_balance longer_chosen"))
    )
    marked = everything.with_columns(mark=reason)
    kept = marked.filter(pl.col("mark").is_null()).drop("mark")
    parts = pl.col("mark").str.split(" ").list
    dropped = marked.filter(pl.col("mark").is_not_null())
    head = dropped.select(parts.get(0).alias("filter"), parts.get(1).alias("reason"), detail=pl.lit("judge-large"))
    _write(root / "filtered/kept.parquet", kept)
    _write(root / "filtered/rejected.parquet", pl.concat([head, dropped.drop("mark")], how="horizontal"))
    _write(root / "filtered/judgments.parquet", judgments)
    agreement = {"judge": JUDGES[0], "sampled": 100, "n": 99, "right": 82, "unsure": 16, "wrong": 1}
    quality = {
        "kept": kept.height,
        "once": kept.height // 2,
        "unequal": kept.height,
        "longer_chosen": kept.height // 2,
        "judges": [{**agreement, "agreement": 82 / 99, "low": 0.742, "high": 0.89}],
    }
    _json(root / "filtered/funnel.json", {**_funnel(everything.height, head), "quality": quality})
    sums = judgments.group_by("judge").agg(pl.len(), pl.col("prompt_tokens", "completion_tokens", "cost").sum())
    _manifest(root, "filtered/filter", 210.5, {f"judge {name}": _used(*spent, 50.0) for name, *spent in sums.rows()})
    return kept


def _funnel(n: int, rejected: pl.DataFrame) -> dict[str, Any]:
    steps, left = [], n
    for name in ("iteration", "duplicate", "length_gap", "judge_agrees", "length_balance"):
        reasons = dict(rejected.filter(pl.col("filter") == name)["reason"].value_counts().iter_rows())
        left -= sum(reasons.values())
        steps.append({"filter": name, "kept": left, "rejected": sum(reasons.values()), "reasons": reasons})
    return {"input": n, "steps": steps, "kept": left}


def _counted(draws: random.Random, n: int, **stratum: Any) -> dict[str, Any]:
    right = round(n * draws.uniform(0.74, 0.86))
    wrong = round(n * 0.03)
    low, high = right / n - 0.04, min(1.0, right / n + 0.04)
    return {
        **stratum,
        "n": n,
        "right": right,
        "unsure": n - right - wrong,
        "wrong": wrong,
        "invalid": 1,
        "accuracy_without_unsure": right / n,
        "wilson_low": low,
        "wilson_high": high,
    }


def _audit(root: Path, draws: random.Random) -> None:
    strata = [_counted(draws, 15, iteration=i, feature=f) for i in range(1, ITERATIONS + 1) for f in FEATURES]
    whole = _counted(draws, 360)
    more = {
        "judge": "auditor",
        "pairs": 361,
        "accuracy_with_unsure": (whole["right"] + whole["unsure"]) / 360,
        "bootstrap_low": whole["wilson_low"] - 0.01,
        "bootstrap_high": whole["wilson_high"] + 0.01,
        "flip_rate": whole["unsure"] / 360,
        "first_slot_rate": 0.53,
        "longer_chosen_rate": 0.5,
        "always_longer_accuracy": 0.55,
        "requests": 722,
    }
    spent = {"prompt_tokens": 512_000, "completion_tokens": 1_444, "cost": 1.29}
    agreed = {"judges": ["auditor", "judge-large"], "on": "verdicts", "n": 300, "agreement": 0.88, "kappa": 0.61}
    report = {
        **whole,
        **more,
        **spent,
        "strata": strata,
        "lengths": [],
        "gaps": [],
        "agreement": [agreed],
        "gold": None,
    }
    _json(root / "audit/audit.json", report)
    _manifest(root, "audit/audit", 95.0, {"judge auditor": _used(722, 512_000, 1_444, 1.29, 90.0)})


def _head(root: Path) -> None:
    judges = [{"name": name, "template": "judge", "frugal": True, "full_share": 0.05} for name in JUDGES]
    engine = {"kind": "openai", "base_url": "http://secret.internal:8000/v1"}
    config = {
        "run": {"dir": "/home/someone/runs/demo", "seed": 42, "iterations": ITERATIONS},
        "prompts": {"paths": ["/home/someone/prompts.parquet"], "license": "cc-by-4.0"},
        "policy": {"model": "bundled:smollm2-135m-instruct", "license": "apache-2.0"},
        "engine": engine,
        "principles": {"set": "sso", "source": "set"},
        "sampling": {"temperature": 0.7, "top_p": 0.8, "max_new_tokens": 2048, "samples_per_view": 1},
        "training": {"method": "sso", "loss": "ipo", "beta": 0.2, "gamma": 0.1, "alpha": 0.66},
        "filters": [{"use": "length_gap"}, {"use": "decontaminate", "files": ["/home/someone/bench.jsonl"]}],
        "judges": [{**judge, "engine": engine} for judge in judges],
        "export": {"formats": ["rm"], "license": "apache-2.0"},
        "audit": {"judge": {"name": "auditor", "license": "proprietary"}, "sample": 360},
    }
    versions = {"polars": "2.1.0", "torch": "2.13.0", "transformers": "5.24.0"}
    _json(root / "run.json", {"sso_factory": "0.1.0", "seed": 42, "versions": versions, "config": config})


def run_folder(root: Path, prompts: int = 90, long: int = 1, seed: int = 1) -> Path:
    """Write a finished run of three iterations with `prompts` prompts each; `long` multiplies the replies' length."""
    draws = random.Random(seed)
    everything = []
    for iteration in range(1, ITERATIONS + 1):
        numbers = range((iteration - 1) * prompts, iteration * prompts)
        rows = [_pair(draws, number, iteration, long) for number in numbers]
        _iteration(root, rows, iteration, draws)
        everything += rows
    prompt_table = table(everything).select("prompt_id", "prompt", "source", portion=pl.col("iteration"))
    _write(root / "prompts.parquet", prompt_table)
    _filtered(root, everything, draws)
    _audit(root, draws)
    _head(root)
    return root


def blind(root: Path) -> Path:
    """The run with a first judge that always answers the slot shown second."""
    path = root / "filtered/judgments.parquet"
    votes = pl.read_parquet(path)
    second = pl.when(pl.col("order") == ORDERS[0]).then(pl.lit("rejected")).otherwise(pl.lit("chosen"))
    mine = (pl.col("judge") == JUDGES[0]) & pl.col("vote").is_not_null()
    votes.with_columns(vote=pl.when(mine).then(second).otherwise("vote")).write_parquet(path)
    return root
