"""Time and memory of SSO training per pair, against TRL's DPOTrainer and against SSO written plainly.

    python benchmarks/training.py                                              all variants, some minutes
    python benchmarks/training.py --pairs 1 --steps 1 --repeats 1              whether it runs
    python benchmarks/training.py --report docs/benchmark-training.md          and its table as a page
    python benchmarks/training.py --rounding 8                                 scores of so many pairs in bfloat16

Every measurement is a process of its own, so that its peak memory is its own; the variants take turns, and the best of
the repeats counts. All take one pair per forward pass, in float32 on the CPU unless said otherwise, with AdamW.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)  # This file bears the name of a package it measures.

from benchmarks.training_report import floor, machine, table
from benchmarks.training_variants import RUNS, VARIANTS, Measured, rounding


def measure(variant: str, pairs: int, steps: int) -> Measured:
    """One process."""
    command = [sys.executable, "-W", "ignore", __file__, "--variant", variant]
    command += ["--pairs", str(pairs), "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def best_of(found: list[Measured]) -> Measured:
    """The fastest repeat; memory is the smallest seen, since a process cannot use less than it needs."""
    return min(found, key=lambda one: one.cpu_seconds)._replace(peak_gib=min(one.peak_gib for one in found))


PAGE = """# Training: time and memory per pair

    python benchmarks/training.py {options}

One optimiser step of SmolLM2-135M-Instruct with AdamW on {pairs} made-up pairs a step, a pair per forward pass: prompts
of about 50, 180 and 180 tokens (x, x+, x-), replies of 150 to 220. (a) takes two of the six conditionals that (b) and
(c) take, and like (b) runs a second model as the reference; (c) has the reference in its pairs, as in a run. (c)
computes whole layers again in the backward pass, (a) and (b) only where it is said. Time is of the best step after the
first, memory the peak of the whole process.

{text}
"""


def main() -> None:
    """Measure what is asked for and print the table; with --variant, be one of the processes measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2, help="pairs per optimiser step")
    parser.add_argument("--steps", type=int, default=2, help="steps that are timed, after one that is not")
    parser.add_argument("--repeats", type=int, default=2, help="processes per variant")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--report", type=Path, help="also write the table to this Markdown file")
    parser.add_argument("--rounding", type=int, metavar="PAIRS", help="how far bfloat16 is from float32, and no more")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.variant:
        run = RUNS[asked.variant.removesuffix("_bfloat16")]
        print(json.dumps(run(asked.pairs, asked.steps, asked.variant.endswith("_bfloat16"))._asdict()))
        return
    if asked.rounding:
        apart = rounding(asked.rounding)
        mean, most = statistics.mean(apart), max(apart)
        print(
            f"{len(apart)} scores of {asked.rounding} pairs: {mean:.4f} per token apart on average, {most:.4f} at most"
        )
        return
    tries: dict[str, list[Measured]] = {name: [] for name in asked.only}
    for _ in range(asked.repeats):
        for name in asked.only:
            tries[name].append(measure(name, asked.pairs, asked.steps))
            print(f"{VARIANTS[name]}: {tries[name][-1]}", file=sys.stderr)
    text = f"{table({name: best_of(found) for name, found in tries.items()}, floor())}\n\n{machine()}"
    print(text)
    if asked.report:
        page = PAGE.format(options=" ".join(sys.argv[1:]), pairs=asked.pairs, text=text)
        asked.report.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
