"""The paper's funnel over recorded pairs, against the same funnel in Hugging Face datasets' map and filter.

    python benchmarks/filters.py                                 1,000,000 pairs, all contenders
    python benchmarks/filters.py --rows 10000000 --ours-only
    python benchmarks/filters.py --everything                    near-duplicates, 24 benchmarks and all else as well

Pairs are made up: words at random, lengths log-normal around 1,500 characters as replies of chat models are, one in ten
a duplicate (half of those differ in spacing), and the votes of two judges in both orders. Each contender runs in a
process of its own and reads and writes Parquet; printed are seconds, peak memory and what each step kept. With
--everything one pair in 100 is a near-duplicate and one in 1,000 holds a benchmark prompt, and it is printed how many
of them are found; beside it, on 20,000 pairs, near-duplicates by datasketch, which must be installed for that.
"""

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)  # This file bears the name of the package that it measures.

from benchmarks.planted import everything, found, plant, write_benchmarks
from factory.identity import digest
from factory.schema import MESSAGES, REJECTED, LazySplit
from filters import build
from filters.balancing.items import BalanceItems
from filters.balancing.pairs import balance
from filters.funnel import run_funnel
from filters.votes import first_order

CHUNK = 50_000
CONTEST = 20_000
"""Pairs of the contest of near-duplicates."""
JUDGES = ("gpt-4o", "llama-3-70b")
MARKS = [".", ",", ":", ".\n\n", "\n- "] * 300 + ["“so”", "it’s", "–", "café", "½", "😀"]
"""Beside plain words; the last, which are not ASCII, make up one word in 3,500."""
METHODS = ("sso", "sso_no_w", "pbaa")


class Result(NamedTuple):
    """One contender's run."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_gb: float
    counts: str


def make(rows: int, folder: Path, planted: bool = False) -> None:
    """Write pairs/*.parquet and judgments/*.parquet, and with `planted` benchmarks/*.jsonl and pairs that hold them."""
    for name in ("pairs", "judgments"):
        (folder / name).mkdir(parents=True)
    if planted:
        write_benchmarks(folder, _vocabulary()[: -len(MARKS)])
    words = np.random.default_rng(0).choice(_vocabulary(), 5_000_000)
    noise = " ".join(words).replace("\n ", "\n").replace(" \n", "\n").replace(" .", ".").replace(" ,", ",")
    for number, start in enumerate(range(0, rows, CHUNK)):
        rng = np.random.default_rng(number)
        frame = _pairs(rng, noise, start, min(CHUNK, rows - start))
        if planted:
            frame = plant(rng, frame, folder).with_columns(
                chunk=pl.lit(number), finish_chosen=_endings(rng, frame.height)
            )
        frame.write_parquet(folder / f"pairs/{number:05}.parquet", compression="snappy", row_group_size=10_000)
        _votes(rng, frame["pair_id"].unique(maintain_order=True)).write_parquet(
            folder / f"judgments/{number:05}.parquet", compression="snappy"
        )


def _vocabulary() -> list[str]:
    rng = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return ["".join(rng.choice(letters, rng.integers(1, 11))) for _ in range(20_000)] + MARKS


def _pairs(rng: np.random.Generator, noise: str, start: int, rows: int) -> pl.DataFrame:
    """Some rows; a tenth repeat another row of the same chunk."""
    original = np.arange(rows)
    repeats = rng.random(rows) < 0.1
    original[repeats] = rng.integers(0, rows, repeats.sum())
    spaced = repeats & (rng.random(rows) < 0.5)
    places = rng.integers(0, len(noise) - 20_000, (rows, 3))
    sizes = np.minimum(rng.lognormal((5.0, 7.1, 7.0), (0.8, 0.7, 0.7), (rows, 3)).astype(int) + 5, 19_000)
    texts = [
        [noise[at : at + size] for at, size in zip(*pair, strict=True)] for pair in zip(places, sizes, strict=True)
    ]
    chosen = [texts[i][1] + "  " * int(odd) for i, odd in zip(original, spaced, strict=True)]
    ids = [digest([start + int(i), bool(odd)]) for i, odd in zip(original, spaced, strict=True)]
    prompts = [digest(start + int(i)) for i in original]
    return pl.DataFrame(
        {
            "pair_id": ids,
            "prompt_id": prompts,
            "prompt": pl.Series([[{"role": "user", "content": texts[i][0]}] for i in original], dtype=MESSAGES),
            "chosen": chosen,
            "rejected": [texts[i][2] for i in original],
            "method": rng.choice(METHODS, rows),
            "iteration": rng.integers(1, 4, rows),
        }
    )


def _endings(rng: np.random.Generator, rows: int) -> pl.Series:
    return pl.Series(np.where(rng.random(rows) < 0.03, "length", "stop"))


def _votes(rng: np.random.Generator, pair_ids: pl.Series) -> pl.DataFrame:
    """Both votes of both judges; judges like chosen, agree with each other, and fail to answer now and then."""
    quality = rng.normal(0.8, 1.0, len(pair_ids))
    frames = []
    for judge in JUDGES:
        for order, slot in (("chosen_first", 0.2), ("rejected_first", -0.2)):
            liked = quality + slot + rng.normal(0, 0.7, len(pair_ids)) > 0
            vote = pl.Series(np.where(liked, "chosen", "rejected")).set(
                pl.Series(rng.random(len(pair_ids)) < 0.01), None
            )
            table = pl.DataFrame({"pair_id": pair_ids, "vote": vote})
            frames.append(table.with_columns(judge=pl.lit(judge), order=pl.lit(order)))
    return pl.concat(frames)


def ours(folder: Path, out: Path) -> str:
    """sso-factory's funnel: kept and rejected rows, each of these with its reason."""
    nothing = REJECTED.empty().lazy()
    pairs = LazySplit(pl.scan_parquet(folder / "pairs/*.parquet"), nothing)
    funnel = run_funnel(pairs, build(None), pl.scan_parquet(folder / "judgments/*.parquet"), out)
    return _counts(funnel.input, *(step.kept for step in funnel.steps))


def all_on(folder: Path, out: Path) -> str:
    """The funnel with everything on, and what it found of what was planted."""
    pairs = LazySplit(pl.scan_parquet(folder / "pairs/*.parquet"), REJECTED.empty().lazy())
    funnel = run_funnel(pairs, build(everything(folder)), pl.scan_parquet(folder / "judgments/*.parquet"), out)
    return f"{_counts(funnel.input, *(step.kept for step in funnel.steps))}; {found(out)}"


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


def timed(contender: str, data: Path) -> Result:
    """Run one contender in a process of its own, start-up included."""
    with tempfile.TemporaryDirectory(dir=data) as out:
        command = [sys.executable, __file__, "--contender", contender, "--data", str(data), "--out", out]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        started, cpu = time.perf_counter(), _children_cpu()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        seconds, cpu = time.perf_counter() - started, _children_cpu() - cpu
    counts, peak = done.stdout.splitlines()[-2:]
    return Result(contender, seconds, cpu, float(peak), counts)


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def peak_gb() -> float:
    """Most memory this process has held, GB. Linux."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return int(kilobytes) * 1024 / 1e9


def report(rows: int, results: Sequence[Result]) -> str:
    """A Markdown table; times as fast is the time of the last over that of the row."""
    slowest = results[-1].seconds
    lines = [
        f"{rows:,} pairs, {os.cpu_count()} cores",
        "",
        "| | seconds | CPU seconds | peak GB | times as fast | kept, step by step |",
    ]
    lines.append("|---|---|---|---|---|---|")
    for name, seconds, cpu, peak, counts in results:
        lines.append(f"| {name} | {seconds:.1f} | {cpu:.1f} | {peak:.2f} | {slowest / seconds:.1f} | {counts} |")
    return "\n".join(lines)


def main() -> None:
    """Parse, make the data, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ours-only", action="store_true", help="leave datasets out")
    parser.add_argument("--everything", action="store_true", help="the funnel with everything on, on planted pairs")
    parser.add_argument("--data", type=Path, help="folder for the data, kept; by default a temporary one")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        print(CONTENDERS[arguments.contender](arguments.data, arguments.out))
        print(peak_gb())
        return
    with tempfile.TemporaryDirectory() as temporary:
        data = arguments.data or Path(temporary)
        if not (data / "judgments").exists():
            make(arguments.rows, data, arguments.everything)
        if arguments.everything:
            print(report(arguments.rows, [timed(name, data) for name in EVERYTHING]))
            print()
        contest = NEAR_ONLY if arguments.everything else PLAIN
        if not (arguments.everything and arguments.ours_only):
            names = list(contest)[: 1 if arguments.ours_only else None]
            rows = min(CONTEST, arguments.rows) if arguments.everything else arguments.rows
            print(report(rows, [timed(name, data) for name in names]))


if __name__ == "__main__":
    main()
