"""Pairs with planted near-duplicates and benchmark prompts, and whether a funnel with everything on finds them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from factory.schema import MESSAGES

BENCHMARKS = (
    *(805, 500, 541, 80, 1319, 164, 974, 1000, 2985, 818, 1172, 2376),
    *(1838, 1221, 14042, 10042, 5153, 1267, 198, 448, 250, 4000, 1140, 378),
)
"""Prompts of 24 benchmark files, as many as well-known ones have."""
NEAR, BENCH = 0.01, 0.001
"""Shares of the pairs that are a near-duplicate of another, and that hold a benchmark prompt."""
_LEAST_WORDS = 80
"""Words of a pair of which a near-duplicate is made."""


class Found(NamedTuple):
    """What a funnel made of the planted pairs."""

    near: int
    near_found: int
    others_dropped: int
    bench: int
    bench_found: int

    def __str__(self) -> str:
        near = f"near-duplicates {self.near_found:,} of {self.near:,} found, {self.others_dropped:,} others dropped"
        return f"{near}; benchmark prompts {self.bench_found:,} of {self.bench:,} found"


def everything(folder: Path) -> list[dict[str, Any]]:
    """A funnel with all that looks at texts, votes and lengths."""
    return [
        {"use": "duplicate", "near": True},
        {"use": "decontaminate", "files": sorted(map(str, (folder / "benchmarks").glob("*.jsonl")))},
        {"use": "length_gap"},
        {"use": "refusal"},
        {"use": "leak"},
        {"use": "truncated"},
        {"use": "judge_agrees"},
        {"use": "length_balance", "one_per_prompt": True},
    ]


def write_benchmarks(folder: Path, vocabulary: list[str]) -> None:
    """Made-up prompts of 4 to 150 words, every tenth with an instruction that its file's prompts share."""
    (folder / "benchmarks").mkdir()
    words = np.array(vocabulary)
    rng = np.random.default_rng(2)
    for number, size in enumerate(BENCHMARKS):
        shared = " ".join(words[rng.integers(0, len(words), 7)])
        prompts = [" ".join(words[rng.integers(0, len(words), rng.integers(4, 150))]) for _ in range(size)]
        lines = [json.dumps({"prompt": f"{shared} {text}" if n % 10 == 0 else text}) for n, text in enumerate(prompts)]
        (folder / f"benchmarks/{number:02}.jsonl").write_text("\n".join(lines), encoding="utf-8")


def plant(rng: np.random.Generator, pairs: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Some of the pairs replaced by near-duplicates of others, some with a benchmark prompt in them.

    A near-duplicate has a run of words of chosen replaced, so few that the Jaccard similarity of the 5-grams stays at
    0.85 and above: (S - k - 4) / (S + k + 4) for k of S words. `planted` says which: near or bench; `twin` is a number
    that a near-duplicate shares with what it is made of.
    """
    single = ~pairs["prompt_id"].is_duplicated()
    free = rng.permutation(np.flatnonzero(single.to_numpy()))
    near, bench = int(NEAR * pairs.height), int(BENCH * pairs.height)
    rows = pairs.with_columns(planted=pl.lit(None, pl.String), twin=pl.lit(None, pl.Int64)).to_dicts()
    targets, sources, dirty = free[:near], free[near : 2 * near], free[2 * near : 2 * near + bench]
    for target, source in zip(targets.tolist(), sources.tolist(), strict=True):
        made = _near(rng, rows[source])
        if made is not None:
            rows[target] = {**rows[target], **made, "planted": "near", "twin": source}
            rows[source]["twin"] = source
    prompts = [json.loads(line)["prompt"] for path in sorted((folder / "benchmarks").glob("*")) for line in path.open()]
    for target, number in zip(dirty.tolist(), rng.integers(0, len(prompts), bench).tolist(), strict=True):
        row = rows[target]
        row["planted"] = "bench"
        if target % 2:
            row["prompt"] = [{"role": "user", "content": prompts[number]}]
        else:
            row["chosen"] = f"{row['chosen'][:200]} {prompts[number]} {row['chosen'][200:]}"
    return pl.DataFrame(rows, schema={**pairs.schema, "planted": pl.String, "twin": pl.Int64, "prompt": MESSAGES})


def _near(rng: np.random.Generator, row: dict[str, Any]) -> dict[str, Any] | None:
    """The texts of a near-duplicate of a row; None where the row is too short for one."""
    chosen = row["chosen"].split(" ")
    words = len(chosen) + len(row["rejected"].split()) + len(row["prompt"][0]["content"].split())
    most = int(0.075 * words) - 8
    if words < _LEAST_WORDS or most < 1 or len(chosen) <= most:
        return None
    count = int(rng.integers(1, most + 1))
    at = int(rng.integers(0, len(chosen) - count))
    chosen[at : at + count] = [f"n{number}" for number in rng.integers(0, 10**9, count)]
    return {"prompt": row["prompt"], "rejected": row["rejected"], "chosen": " ".join(chosen)}


def found(out: Path) -> Found:
    """Counted in what a funnel wrote; a pair with a benchmark prompt counts as found where decontaminate dropped it."""
    columns = ["pair_id", "planted", "twin", "chunk"]
    rejected = pl.scan_parquet(out / "rejected.parquet").select("filter", "reason", *columns)
    dropped = rejected.filter((pl.col("filter") == "duplicate") & (pl.col("reason") == "near")).collect()
    both = pl.concat([rejected.select(columns), pl.scan_parquet(out / "kept.parquet").select(columns)]).collect()
    near = both.filter(pl.col("planted") == "near")
    twins = dropped.filter(pl.col("twin").is_not_null()).unique(["twin", "chunk"])
    bench = rejected.filter((pl.col("planted") == "bench") & (pl.col("filter") == "decontaminate")).collect()
    return Found(
        near=near.height,
        near_found=near.join(twins, on=["twin", "chunk"], how="semi").height,
        others_dropped=dropped.filter(pl.col("twin").is_null()).height,
        bench=both.filter(pl.col("planted") == "bench").height,
        bench_found=bench.height,
    )
