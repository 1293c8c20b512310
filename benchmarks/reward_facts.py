"""What the runs of docs/reward.md say of their pairs, without any reward model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.reward_oracles import verdict


def followed(runs: Sequence[Path]) -> dict[str, Any]:
    """For each feature how often a program finds more of it in the chosen reply: of all pairs, and of those kept."""
    found: dict[str, dict[str, list[int]]] = {}
    for run in runs:
        for state, place in (("made", "iterations/1/triples.parquet"), ("kept", "filtered/kept.parquet")):
            for row in pl.read_parquet(run / place).iter_rows(named=True):
                said = verdict(row["feature"], row["prompt"][-1]["content"], row["chosen"], row["rejected"])
                for name in (row["feature"], "all"):
                    found.setdefault(name, {}).setdefault(state, []).append(said)
    return {name: {state: {"pairs": len(said), "more": said.count(1), "less": said.count(-1)}
                   for state, said in states.items()} for name, states in sorted(found.items())}  # fmt: skip


def complete(runs: Sequence[Path]) -> dict[str, int]:
    """How many pairs were made, and in how many of them both replies ended by themselves."""
    made = pl.concat([pl.read_parquet(run / "iterations/1/triples.parquet") for run in runs], how="diagonal_relaxed")
    cut = (pl.col("finish_chosen") == "length") | (pl.col("finish_rejected") == "length")
    return {"pairs": made.height, "complete": made.filter(~cut).height}


def cut(kinds: Sequence[str]) -> dict[str, dict[str, int]]:
    """For each NAME=RUN,RUN or NAME=FILE the kept pairs, and those of which the length limit cut one reply alone."""
    found = {}
    for name, _, places in (one.partition("=") for one in kinds):
        files = [Path(place) if place.endswith(".parquet") else Path(place) / "filtered/kept.parquet"
                 for place in places.split(",")]  # fmt: skip
        kept = pl.concat([pl.read_parquet(file) for file in files], how="diagonal_relaxed")
        ended = kept.select("finish_chosen", "finish_rejected").rows()
        alone = [(one == "length") - (other == "length") for one, other in ended]
        found[name] = {"pairs": kept.height, "chosen": alone.count(1), "rejected": alone.count(-1)}
    return found


def judged(folder: Path | None) -> list[dict[str, Any]]:
    """How each judge's votes went with the order in which the replies were shown."""
    kept = ("judge", "both_orders", "flips", "first_votes", "first_slot")
    found = json.loads((folder / "funnel.json").read_text())["judges"] if folder else []
    return [{name: one[name] for name in kept} for one in found]
