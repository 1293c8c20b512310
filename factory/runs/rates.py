"""What earlier stages of a run, or of its preview, took: how fast answers came, how long and how many they were."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from factory.config.apis import ApiEngine
from factory.config.engines import EngineBlock
from factory.store.outputs import read_manifest

_ITERATION = re.compile(r" \d+$")
MEASURED, CEILING = "measured", "by limits"


class Time(NamedTuple):
    """How long something takes, and how that is known; seconds None where it is not."""

    seconds: float | None = None
    basis: str = ""


class Taken(NamedTuple):
    """What askers of one kind took in all, as far as money goes."""

    requests: int
    prompt_tokens: int
    completion_tokens: int


class Rates(NamedTuple):
    """By kind of asker (`replies`, `judge J`, `audit J`) and setting (`journal.Usage`)."""

    per_second: dict[tuple[str, str], float]
    """Answers per second."""
    taken: dict[tuple[str, str], Taken] = {}  # noqa: RUF012 - never changed
    pairs: dict[str, int] = {}  # noqa: RUF012 - never changed
    """Pairs that each kind of judge was given, which it was asked about, and before they were made, as it took."""
    triples: int = 0
    """Triples asked for."""
    kept: int = 0
    """Pairs of them that passed the filters."""

    @classmethod
    def of(cls, *run_dirs: Path) -> "Rates":
        """From the manifests of run folders; none where there is no such folder."""
        answers: dict[tuple[str, str], float] = defaultdict(float)
        seconds: dict[tuple[str, str], float] = defaultdict(float)
        taken: dict[tuple[str, str], Taken] = {}
        pairs: dict[str, int] = defaultdict(int)
        triples = kept = 0
        for root in run_dirs:
            made = 0
            for stage, manifest in _manifests(root):
                facts = manifest["facts"]
                rows = int(facts.get("rows") or 0)
                if stage == "triples":
                    made, triples = made + rows, triples + rows + int(facts.get("rejected") or 0)
                # Rows of the filter's manifest are the kept pairs, not those that it was given.
                kept += rows if stage == "filter" else 0
                given = {"filter": made, "audit": int(facts.get("pairs") or 0)}.get(stage, 0)
                for asker, used in manifest.get("used", {}).items():
                    # An audit asks both orders of every pair whatever the filters' rule needs: its rate is another one.
                    kind = kind_of(asker.replace("judge ", "audit ", 1) if stage == "audit" else asker)
                    key = kind, str(used.get("setting", ""))
                    answers[key] += used["asked"]
                    seconds[key] += used["seconds"]
                    new = Taken(*(int(used.get(name, 0)) for name in Taken._fields))
                    taken[key] = Taken(*map(sum, zip(taken.get(key, Taken(0, 0, 0)), new, strict=True)))
                    pairs[kind] += given
        speed = {key: answers[key] / seconds[key] for key in answers if answers[key] and seconds[key]}
        return cls(speed, {key: each for key, each in taken.items() if each.requests}, dict(pairs), triples, kept)

    def time(self, name: str, setting: str, block: EngineBlock, requests: int, tokens: int) -> Time:
        """How long `requests` with `tokens` in all take: as fast as was measured with the same setting.

        Without a measurement the account's ceilings say it, as for a server that keeps up with them; without ceilings
        nobody knows.
        """
        ceiling = _at_ceilings(block, requests, tokens) if isinstance(block, ApiEngine) else None
        rate = self.per_second.get((kind_of(name), setting))
        if rate is None:
            return Time() if ceiling is None else Time(ceiling, CEILING)
        return Time(requests / rate, MEASURED)


def _manifests(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each stage with its manifest; the filter's last, as its judges were asked about what the others count."""
    for path in sorted(root.rglob("*.manifest.json"), key=lambda path: path.name == "filter.manifest.json"):
        if manifest := read_manifest(path):
            yield path.name.removesuffix(".manifest.json"), manifest


def kind_of(name: str) -> str:
    """The asker without its iteration: `replies` of `replies 2`."""
    return name if name.startswith(("judge ", "audit ")) else _ITERATION.sub("", name)


def _at_ceilings(block: ApiEngine, requests: int, tokens: int) -> float | None:
    ceilings = ((requests, block.requests_per_minute), (tokens, block.tokens_per_minute))
    minutes = [count / ceiling for count, ceiling in ceilings if ceiling]
    return max(minutes) * 60 if minutes else None
