"""Memory of what comes after generation: judging, audit, exports with their card, and the report of a run.

    python benchmarks/memory.py --rows 100000 300000        judging, audit, export of so many pairs, and a run of 5,000

Pairs are made up as in benchmarks/filters.py, some 3,000 characters each; judge, auditor and engine are scripted, so
that only this package is measured. Each step runs in a process of its own, start-up included.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from benchmarks.filters import peak_gb
from benchmarks.made_pairs import make

RUN_PROMPTS = 5_000


def judging(data: Path, out: Path) -> str:
    """The pairs judged as a run judges them, by one scripted judge."""
    import factory

    config = {"filters": [{"use": "judge_agrees"}], "judges": [{"name": "J", "engine": "scripted", "frugal": False}]}
    found = factory.filter([str(data / "pairs")], out, config=config)
    return f"{found.input:,} pairs, {found.kept:,} kept"


def audit(data: Path, out: Path) -> str:
    """All pairs audited in both orders, with the page."""
    import factory

    report = factory.audit(str(data / "pairs"), out=out, judge={"name": "J", "engine": "scripted"})
    page = (out / "audit.html").stat().st_size / 1e6
    return f"{getattr(report, 'n', 0):,} pairs, page {page:.2f} MB"


def export(data: Path, out: Path) -> str:
    """All pairs in one format with a card, and the processor time of the card alone."""
    from factory.config import Export
    from factory.exports.card import write_card
    from factory.exports.card.facts import card_facts
    from factory.exports.destinations.write import export as write
    from factory.files.streaming import small_morsels
    from factory.progress import Silent

    with small_morsels():
        written = write(pl.scan_parquet(data / "pairs/*.parquet"), "rm", out, Export(), 1, Silent())
        began, before = time.process_time(), peak_gb()
        write_card(card_facts(written, "rm"), out)
    spent = time.process_time() - began
    return f"{sum(written.rows.values()):,} pairs, the card {spent:.1f} CPU s ({before:.2f} GB before it)"


def run(data: Path, out: Path) -> str:
    """A scripted run of a prompt a pair, judged, exported with its card, and its report."""
    import factory

    prompts = data / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"What of the number {n}?"}) + "\n" for n in range(RUN_PROMPTS)))
    config = {
        "run": {"iterations": 1},
        "prompts": {"paths": [str(prompts)]},
        "policy": {"model": "scripted"},
        "engine": "scripted",
        "training": {"method": "none"},
        "filters": [{"use": "judge_agrees"}],
        "judges": [{"name": "J", "engine": "scripted"}],
        "export": {"formats": ["rm", "dpo"]},
    }
    factory.run(config, out)
    return f"{RUN_PROMPTS:,} prompts"


def report(data: Path, out: Path) -> str:
    """The report of that run once more."""
    import factory

    page = factory.report(data / "run", out / "report.html")
    return f"page {Path(page).stat().st_size / 1e6:.2f} MB"


OF_PAIRS: dict[str, Callable[[Path, Path], str]] = {"judging": judging, "audit": audit, "export": export}
STEPS = {**OF_PAIRS, "run": run, "report": report}


def measured(step: str, data: Path, out: Path) -> str:
    """A row of the table."""
    command = [sys.executable, __file__, "--step", step, "--data", str(data), "--out", str(out)]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said, peak = done.stdout.splitlines()[-2:]
    return f"| {step}: {said} | {seconds:.1f} | {cpu:.1f} | {float(peak):.2f} |"


def main() -> None:
    """Parse, make the data, run each step, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), help="these steps alone")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        options.out.mkdir(parents=True, exist_ok=True)
        print(STEPS[options.step](options.data, options.out))
        print(peak_gb())
        return
    print("| step | seconds | CPU seconds | peak GB |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rows in options.rows:
            make(rows, folder / f"{rows}")
            for step in [step for step in OF_PAIRS if step in options.only]:
                print(measured(step, folder / f"{rows}", folder / f"{step}-{rows}"), flush=True)
        if "run" in options.only:
            print(measured("run", folder, folder / "run"), flush=True)
        if "report" in options.only:
            print(measured("report", folder, folder / "report"), flush=True)


if __name__ == "__main__":
    main()
