"""Memory, descriptors, disk and time of a run as the number of prompts grows, on the scripted engine.

    python benchmarks/soak.py                        10,000, 50,000 and 200,000 prompts
    python benchmarks/soak.py --prompts 2000 10000   others

One iteration without training: prompts, features, contrast, triples, scores, filter, export and report, in a process
of its own that is sampled four times a second; then the same command again, which finds every stage done (the time to
resume). A table is printed, with seconds per stage from the manifests, and memory against time is drawn into --plot.
The figures include the made-up engine, whose replies are some hundred characters long.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SIZES = (10_000, 50_000, 200_000)
EVERY = 0.25
STAGES = ("prompts", "features", "contrast", "triples", "scores", "filter", "rm")
CONFIG = {
    "run": {"iterations": 1},
    "engine": "scripted",
    "training": {"method": "none"},
    "filters": [{"use": name} for name in ("iteration", "duplicate", "length_gap", "length_balance")],
}


class Sample(NamedTuple):
    """The process at one moment."""

    seconds: float
    mebibytes: float
    descriptors: int


class Soaked(NamedTuple):
    """One size's run."""

    prompts: int
    samples: list[Sample]
    seconds: float
    resume_seconds: float
    stages: dict[str, float]
    journal_bytes: int
    disk_bytes: int

    @property
    def peak(self) -> float:
        """MiB."""
        return max(sample.mebibytes for sample in self.samples)


def write_prompts(path: Path, count: int) -> None:
    """Prompts of some 120 characters, no two alike."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = f"Explain to a child of ten, in plain words and with an example, what makes {number} special."
            file.write(json.dumps({"prompt": text}) + "\n")


def sampled(command: Sequence[str]) -> tuple[list[Sample], float]:
    """Run a command to its end and look at it now and then; seconds it took."""
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        said: list[str] = []
        assert process.stderr is not None
        reader = threading.Thread(target=said.extend, args=(process.stderr,))
        reader.start()
        samples = []
        while process.poll() is None:
            found = sample(process.pid, time.monotonic() - began)
            samples += [found] if found else []
            time.sleep(EVERY)
        reader.join()
    if process.returncode:
        raise SystemExit("".join(said))
    return samples, time.monotonic() - began


def sample(pid: int, seconds: float) -> Sample | None:
    """Resident memory and open files of a process, from /proc; None when it has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None
    resident = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return Sample(seconds, int(resident[0].split()[1]) / 1024, files) if resident else None


def soak(count: int, folder: Path) -> Soaked:
    """Make the run of one size, and make it again."""
    write_prompts(folder / "prompts.jsonl", count)
    config, run = folder / "soak.yaml", folder / "run"
    config.write_text(json.dumps({**CONFIG, "prompts": str(folder / "prompts.jsonl")}), encoding="utf-8")
    command = [sys.executable, "-m", "factory.cli", "run", str(config), "--run-dir", str(run)]
    samples, seconds = sampled(command)
    _, resume = sampled(command)
    manifests = [json.loads(path.read_text("utf-8")) for path in run.rglob("*.manifest.json")]
    files = [path for path in run.rglob("*") if path.is_file()]
    return Soaked(
        count,
        samples,
        seconds,
        resume,
        {one["stage"].rsplit("/", 1)[-1]: one["seconds"] for one in manifests},
        sum(path.stat().st_size for path in files if path.name.endswith(".journal.jsonl")),
        sum(path.stat().st_size for path in files),
    )


def table(found: Sequence[Soaked]) -> str:
    """A Markdown table, a column per size."""
    rows: list[tuple[str, list[str]]] = [
        ("seconds", [f"{one.seconds:.1f}" for one in found]),
        *((f"… {name}", [f"{one.stages.get(name, 0):.1f}" for one in found]) for name in STAGES),
        ("resume, seconds", [f"{one.resume_seconds:.1f}" for one in found]),
        ("peak memory, MiB", [f"{one.peak:.0f}" for one in found]),
        ("peak memory per prompt over the smallest, KiB", _growth(found)),
        ("open files, most", [str(max(sample.descriptors for sample in one.samples)) for one in found]),
        ("journals, bytes per prompt", [f"{one.journal_bytes / one.prompts:.0f}" for one in found]),
        ("disk, bytes per prompt", [f"{one.disk_bytes / one.prompts:.0f}" for one in found]),
    ]
    head = ["prompts", *(f"{one.prompts:,}" for one in found)]
    lines = [head, ["---"] * len(head), *([name, *cells] for name, cells in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _growth(found: Sequence[Soaked]) -> list[str]:
    base = found[0]
    grown = [(one.peak - base.peak) * 1024 / (one.prompts - base.prompts) for one in found[1:]]
    return ["–", *(f"{value:.1f}" for value in grown)]


def draw(found: Sequence[Soaked], path: Path) -> None:
    """Memory against time, a line per size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for one in found:
        axes.plot(
            [sample.seconds for sample in one.samples],
            [sample.mebibytes for sample in one.samples],
            label=f"{one.prompts:,} prompts",
        )
    axes.set(xlabel="seconds", ylabel="resident memory, MiB", title="A run on the scripted engine", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Soak every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--plot", type=Path, default=Path("soak.png"))
    options = parser.parse_args()
    found = []
    for count in sorted(options.prompts):
        with tempfile.TemporaryDirectory() as folder:
            found.append(soak(count, Path(folder)))
        print(f"{count:,} prompts: {found[-1].seconds:.1f} s, peak {found[-1].peak:.0f} MiB", flush=True)
    print(f"\n{table(found)}")
    draw(found, options.plot)
    print(f"\n{options.plot}")


if __name__ == "__main__":
    main()
