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
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)  # This file bears the name of the package that it measures.

from benchmarks.contenders import CONTENDERS, CONTEST, EVERYTHING, NEAR_ONLY, PLAIN
from benchmarks.made_pairs import make


class Result(NamedTuple):
    """One contender's run."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_gb: float
    counts: str


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
    parser.add_argument("--compression", default="snappy", choices=["snappy", "zstd"], help="zstd where disk is short")
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
            make(arguments.rows, data, arguments.everything, arguments.compression)
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
