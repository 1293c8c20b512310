"""How fast answers came in earlier stages of a run folder, so that a plan can say how long others will take."""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from factory.engine_blocks import EngineBlock, OpenaiEngine
from factory.store import read_manifest

_ITERATION = re.compile(r" \d+$")
MEASURED, CEILING = "measured", "by limits"


class Time(NamedTuple):
    """How long something takes, and how that is known; seconds None where it is not."""

    seconds: float | None = None
    basis: str = ""


class Rates(NamedTuple):
    """Answers per second, by kind of asker (`replies`, `judge J`) and setting (`journal.Used`)."""

    per_second: dict[tuple[str, str], float]

    @classmethod
    def of(cls, run_dir: Path) -> "Rates":
        """From the manifests of a run folder; none where there is no such folder."""
        answers: dict[tuple[str, str], float] = defaultdict(float)
        seconds: dict[tuple[str, str], float] = defaultdict(float)
        for path in sorted(run_dir.rglob("*.manifest.json")):
            manifest = read_manifest(path)
            used = manifest.get("used", {}) if manifest else {}
            for name, asker in used.items():
                key = (kind_of(name), str(asker.get("setting", "")))
                answers[key] += asker["asked"]
                seconds[key] += asker["seconds"]
        return cls({key: answers[key] / seconds[key] for key in answers if answers[key] and seconds[key]})

    def time(self, name: str, setting: str, block: EngineBlock, requests: int, tokens: int) -> Time:
        """How long `requests` with `tokens` in all take: as fast as was measured with the same setting.

        Without a measurement the account's ceilings say it, as for a server that keeps up with them; without ceilings
        nobody knows.
        """
        ceiling = _at_ceilings(block, requests, tokens) if isinstance(block, OpenaiEngine) else None
        rate = self.per_second.get((kind_of(name), setting))
        if rate is None:
            return Time() if ceiling is None else Time(ceiling, CEILING)
        return Time(requests / rate, MEASURED)


def kind_of(name: str) -> str:
    """The asker without its iteration: `replies` of `replies 2`."""
    return name if name.startswith("judge ") else _ITERATION.sub("", name)


def _at_ceilings(block: OpenaiEngine, requests: int, tokens: int) -> float | None:
    minutes = []
    if block.requests_per_minute:
        minutes.append(requests / block.requests_per_minute)
    if block.tokens_per_minute:
        minutes.append(tokens / block.tokens_per_minute)
    return max(minutes) * 60 if minutes else None
