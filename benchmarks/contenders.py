"""Who filters the pairs of benchmarks/filters.py: this package (reading as its commands do), datasets, datasketch."""

import hashlib
import os
import unicodedata
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.planted import everything, found
from factory.files.streaming import small_morsels
from factory.schema import REJECTED, LazySplit
from filters import build
from filters.balancing.items import BalanceItems
from filters.balancing.pairs import balance
from filters.funnel import run_funnel
from filters.votes import first_order

CONTEST = 20_000
"""Pairs of the contest of near-duplicates."""


@small_morsels()
def ours(folder: Path, out: Path) -> str:
    """sso-factory's funnel: kept and rejected rows, each of these with its reason."""
    nothing = REJECTED.empty().lazy()
    pairs = LazySplit(pl.scan_parquet(folder / "pairs/*.parquet"), nothing)
    funnel = run_funnel(pairs, build(None), pl.scan_parquet(folder / "judgments/*.parquet"), out)
    return _counts(funnel.input, *(step.kept for step in funnel.steps))


@small_morsels()
def all_on(folder: Path, out: Path) -> str:
    """The funnel with everything on, and what it found of what was planted."""
    pairs = LazySplit(pl.scan_parquet(folder / "pairs/*.parquet"), REJECTED.empty().lazy())
    funnel = run_funnel(pairs, build(everything(folder)), pl.scan_parquet(folder / "judgments/*.parquet"), out)
    return f"{_counts(funnel.input, *(step.kept for step in funnel.steps))}; {found(out)}"


@small_morsels()
def near_only(folder: Path, out: Path) -> str:
    """Exact and near-duplicates alone, of the first pairs."""
    pairs = LazySplit(pl.scan_parquet(folder / "pairs/*.parquet").head(CONTEST), REJECTED.empty().lazy())
    funnel = run_funnel(pairs, build([{"use": "duplicate", "near": True}]), None, out)
    return _counts(funnel.input, funnel.kept)


def datasketch(folder: Path, out: Path) -> str:
    """The same by datasketch, text by text, as its documentation shows it."""
    from datasketch import MinHash, MinHashLSH

    pairs = pl.scan_parquet(folder / "pairs/*.parquet").head(CONTEST).collect()
    index, kept = MinHashLSH(threshold=0.8, num_perm=128), 0
    for row, (prompt, chosen, rejected) in enumerate(pairs.select("prompt", "chosen", "rejected").iter_rows()):
        words = " ".join([prompt[0]["content"], chosen, rejected]).lower().split()
        sketch = MinHash(num_perm=128)
        sketch.update_batch({" ".join(words[at : at + 5]).encode() for at in range(max(1, len(words) - 4))})
        if not index.query(sketch):
            index.insert(str(row), sketch)
            kept += 1
    pairs.head(kept).write_parquet(out / "kept.parquet")
    return _counts(pairs.height, kept)


def plain(folder: Path, out: Path) -> str:
    """The same decisions with datasets' map and filter, row by row; of what it rejects it keeps no record."""
    return _datasets(folder, out, lambda rule: rule, {})


def batched(folder: Path, out: Path) -> str:
    """As `plain`, but in batches and on every core wherever a step allows it."""
    return _datasets(folder, out, _over_batches, {"batched": True, "num_proc": os.cpu_count()})


def _datasets(folder: Path, out: Path, wrap: Callable[[Any], Any], options: dict[str, Any]) -> str:
    import datasets

    datasets.disable_progress_bars()
    load: dict[str, Any] = {"split": "train", "cache_dir": str(out / "cache"), "num_proc": options.get("num_proc")}
    judged = datasets.load_dataset("parquet", data_files=str(folder / "judgments/*.parquet"), **load)
    dropped = _dropped(judged)
    pairs = datasets.load_dataset("parquet", data_files=str(folder / "pairs/*.parquet"), **load)
    counts = [len(pairs)]
    pairs = pairs.filter(wrap(_counts_iteration), input_columns=["method", "iteration"], **options)
    counts.append(len(pairs))
    texts = ["prompt", "chosen", "rejected"]
    pairs = pairs.map(wrap(_measured), input_columns=texts, **options)
    pairs = pairs.select(_firsts(pairs))
    counts.append(len(pairs))
    pairs = pairs.filter(wrap(_near_in_length), input_columns=["chars_chosen", "chars_rejected"], **options)
    counts.append(len(pairs))
    pairs = pairs.filter(lambda pair: pair not in dropped, input_columns=["pair_id"], new_fingerprint="judged")
    counts.append(len(pairs))
    chars = pairs.select_columns(["chars_chosen", "chars_rejected"]).with_format("numpy")
    kept = balance(BalanceItems.of(chars["chars_chosen"][:], chars["chars_rejected"][:], Fraction("0.02")))
    pairs = pairs.select(np.flatnonzero(kept))
    pairs.to_parquet(out / "kept.parquet")
    return _counts(*counts, len(pairs))


def _over_batches(rule: Callable[..., Any]) -> Callable[..., Any]:
    """A function of rows as one of batches of columns."""

    def over(*columns: Sequence[Any]) -> Any:
        found = [rule(*row) for row in zip(*columns, strict=True)]
        if isinstance(found[0], dict):
            return {name: [one[name] for one in found] for name in found[0]}
        return found

    return over


def _counts_iteration(method: str, iteration: int) -> bool:
    return iteration in ((1, 2, 3) if method == "sso" else (1, 2))


def _near_in_length(chosen: int, rejected: int) -> bool:
    return abs(chosen - rejected) <= 3000


def _measured(prompt: list[dict[str, str]], chosen: str, rejected: str) -> dict[str, Any]:
    """Lengths, and a hash of the normalised texts."""
    texts = [turn["role"] + "\x1e" + turn["content"] for turn in prompt] + [chosen, rejected]
    whole = "\x1c".join(" ".join(unicodedata.normalize("NFKC", text).split()) for text in texts)
    key = hashlib.blake2b(whole.encode(), digest_size=16).digest()
    return {"key": key, "chars_chosen": len(chosen), "chars_rejected": len(rejected)}


def _firsts(pairs: Any) -> list[int]:
    """Rows of the pairs to keep: of those with the same texts, the one whose pair_id comes first."""
    first: dict[bytes, tuple[str, int]] = {}
    batches = pairs.select_columns(["key", "pair_id"]).iter(10_000)
    marked = (row for batch in batches for row in zip(batch["key"], batch["pair_id"], strict=True))
    for row, (key, pair) in enumerate(marked):
        if key not in first or pair < first[key][0]:
            first[key] = (pair, row)
    return sorted(row for _, row in first.values())


def _dropped(judged: Any) -> set[str]:
    """Pairs that judge_agrees drops."""
    votes: dict[tuple[str, str], dict[str, str | None]] = {}
    for batch in judged.iter(10_000):
        for pair, judge, order, vote in zip(
            *(batch[name] for name in ("pair_id", "judge", "order", "vote")), strict=True
        ):
            votes.setdefault((pair, judge), {})[order] = vote
    dropped = set()
    for (pair, judge), given in votes.items():
        both = list(given.values())
        if None in both:
            first = first_order(pair, judge)
            drops = given[first] is None or (given[first] == "rejected")
        else:
            drops = both == ["rejected", "rejected"]
        if drops:
            dropped.add(pair)
    return dropped


def _counts(*counts: int) -> str:
    return " → ".join(f"{count:,}" for count in counts)


PLAIN = {"sso-factory": ours, "datasets, batched on every core": batched, "datasets": plain}
EVERYTHING = {"everything": all_on}
NEAR_ONLY = {"near-duplicates": near_only, "near-duplicates by datasketch": datasketch}
CONTENDERS: dict[str, Callable[[Path, Path], str]] = {**PLAIN, **EVERYTHING, **NEAR_ONLY}
