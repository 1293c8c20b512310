"""What benchmarks/reward.py writes, as lines of JSON to which several processes append, and what its choice comes to.

`python benchmarks/reward_records.py DIR/choice.jsonl` prints the means of --choose on stderr, and the best rate and
number of steps.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from factory.config import BUNDLED_MODEL


class Settings(NamedTuple):
    """What every cell is trained with; all of it is in the results."""

    model: str = BUNDLED_MODEL
    pairs: int = 200
    """At most so many of each source."""
    steps: int = 50
    batch_pairs: int = 16
    learning_rate: float = 1e-4
    center: float = 0.01
    train_length: int = 256
    score_length: int = 384
    full: bool = False
    """All weights are trained, not the last block, the norm and the head alone."""
    device: str = "cpu"
    """On CUDA what is computed is bfloat16 by autocast."""


def append(file: Path, record: Mapping[str, Any]) -> None:
    """One more line, by one write: whole whoever else appends, and no other is lost with one that a kill cut."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab", buffering=0) as out:
        out.write(f"\n{json.dumps(record)}\n".encode())


def read(place: Path) -> list[dict[str, Any]]:
    """The whole lines of a file, the last of those of one arm and seed, or the JSON files of a folder."""
    if place.is_dir():
        return [json.loads(file.read_text()) for file in sorted(place.glob("*.json"))]
    found: dict[str, dict[str, Any]] = {}
    for line in place.read_text().split("\n") if place.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # empty, or cut by a kill
        found[str([record.get("arm"), record["seed"], record["settings"]])] = record
    return list(found.values())


def made(file: Path, settings: Settings) -> set[tuple[str, int]]:
    """Arm and seed of the cells that are there. SystemExit where one was made with other settings."""
    cells = read(file)
    for cell in cells:
        there = Settings(**cell["settings"])
        if apart := [name for name in Settings._fields if getattr(there, name) != getattr(settings, name)]:
            raise SystemExit(f"{file} has cells made with another {' and '.join(apart)}; give another --out")
    return {(cell["arm"], cell["seed"]) for cell in cells}


def choice(file: Path) -> dict[tuple[float, int], float]:
    """For each learning rate and number of steps the mean over seeds, the best first and of like ones the lower rate.

    SystemExit where other settings are mixed, or nothing is there.
    """
    tried = read(file)
    found: dict[tuple[float, int], list[float]] = {}
    for one in tried:
        settings = Settings(**one["settings"])
        if settings != Settings(**tried[0]["settings"])._replace(
            learning_rate=settings.learning_rate, steps=settings.steps
        ):
            raise SystemExit(f"{file} has choices of several settings")
        found.setdefault((settings.learning_rate, settings.steps), []).append(one["dev"])
    if not found:
        raise SystemExit(f"{file} has no choice yet")
    means = {setting: sum(each) / len(each) for setting, each in found.items()}
    return dict(sorted(means.items(), key=lambda one: (-one[1], one[0])))


if __name__ == "__main__":
    means = choice(Path(sys.argv[1]))
    for (rate, steps), mean in means.items():
        print(f"{rate:g} {steps}: {mean:.3f}", file=sys.stderr)
    print(*next(iter(means)))
