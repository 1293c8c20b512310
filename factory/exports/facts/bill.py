"""The bill of a run: what writers, judges and audit took, from its manifests and the journals of what is under way."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field

from factory.engines.api.accounts import spent_in
from factory.engines.base import recorded_completion
from factory.exports.facts.public import public_name
from factory.files import PathLike
from factory.files.json_text import read_lines, read_object
from factory.statistics.shares import total
from factory.store import read_manifest
from factory.store.journal import Usage
from factory.strict import Strict

_CENT = 1e-6
"""Less money than this is rounding."""
_COUNTS = ("requests", "prompt_tokens", "completion_tokens", "seconds")
WEAKER = "weaker model"
"""Who writes the rejected replies, where that is another model than the policy."""
LOST = "checks and unused answers"
"""Money beside the answers in use: the questions of `check`, what came amiss, what was under way at a kill, answers to
earlier settings."""


class Charge(Strict):
    """What one of those that were asked took."""

    name: str
    requests: int | None = 0
    """Answers that came and are used; this and what follows is None of LOST, of which money alone is known."""
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    seconds: float | None = 0.0
    """How long answers took to come, those of the process that finished the stage."""
    cost: float | None = None
    """Money; None where nothing has a price."""

    @property
    def tokens(self) -> int:
        """Sent and received."""
        return (self.prompt_tokens or 0) + (self.completion_tokens or 0)


class Bill(Strict):
    """Who took what, the policy first."""

    rows: list[Charge] = Field(default_factory=list)
    kept: int | None = None
    """Pairs that passed the filters, where they have run."""

    @property
    def total(self) -> Charge:
        """The sum."""
        return _sum("total", self.rows)

    @property
    def per_pair(self) -> float | None:
        """Money for each kept pair."""
        cost = self.total.cost
        return cost / self.kept if cost is not None and self.kept else None


def bill(run_dir: PathLike) -> Bill:
    """The bill of the run in `run_dir` so far."""
    root = Path(run_dir)
    parts: dict[str, list[Charge]] = {}
    for stage, asker, used in _used(root):
        name = _name(stage, asker)
        if name:
            known = {key: used[key] for key in Charge.model_fields if used.get(key)}
            parts.setdefault(name, []).append(Charge(name=name, **known))
    order = ("policy", "weaker", "judge", "audit")
    names = sorted(parts, key=lambda name: (order.index(name.split(" ")[0]), name))
    rows = [_sum(name, parts[name]) for name in names]
    # What was paid and is in no answer: the ledger has every request, the rows those whose answers are used.
    beside = spent_in(root) - sum(row.cost or 0.0 for row in rows)
    if beside > _CENT:
        rows.append(Charge(name=LOST, cost=beside, **dict.fromkeys(_COUNTS)))
    kept = read_object(root / "filtered/funnel.json").get("kept")
    return Bill(rows=rows, kept=kept if isinstance(kept, int) else None)


def prices_of(config: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Who is asked to the price of a million tokens sent and received, where a configuration names it."""
    asked = [("policy", config.get("engine"))]
    asked += [(f"judge {public_name(judge['name'])}", judge.get("engine")) for judge in config.get("judges") or []]
    auditor = (config.get("audit") or {}).get("judge")
    asked += [(f"audit {public_name(auditor['name'])}", auditor.get("engine"))] if auditor else []
    named = {name: (block or {}).get("prices") for name, block in asked}
    return {name: (prices["prompt"], prices["completion"]) for name, prices in named.items() if prices}


def _sum(name: str, rows: Iterable[Charge]) -> Charge:
    listed = list(rows)
    counts = {key: sum(getattr(row, key) or 0 for row in listed) for key in _COUNTS}
    return Charge(name=name, cost=total(row.cost for row in listed), **counts)


def _used(root: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Stage, asker and what it used: of finished stages by their manifests, of others by their journals."""
    done = set()
    for path in sorted(root.rglob("*.manifest.json")):
        manifest = read_manifest(path)
        if manifest is not None:
            # The journal of a finished stage is passed over: its manifest has the sum already.
            done.add(path.with_name(path.name.replace(".manifest.json", ".journal.jsonl")))
            yield from ((path.name, asker, used) for asker, used in manifest.get("used", {}).items())
    for path in sorted(set(root.rglob("*.journal.jsonl")) - done):
        yield from ((path.name, asker, vars(counted)) for asker, counted in _journaled(path).items())


def _journaled(path: Path) -> dict[str, Usage]:
    """What the answers of a journal used, by asker. Scores, which have no text, are left out."""
    found: dict[str, Usage] = {}
    for line in read_lines(path):
        with suppress(ValueError, KeyError, TypeError):
            answer = recorded_completion(line["value"])
            if answer is None:
                continue
            used = found.setdefault(_asker(answer.id), Usage())
            used.cost += answer.cost or 0.0
            used.requests += 1
            used.prompt_tokens += answer.prompt_tokens or 0
            used.completion_tokens += answer.completion_tokens or 0
    return found


def _asker(request: str) -> str:
    """Who was asked, by the id of the request."""
    if request.startswith("judge/"):
        return f"judge {request.removeprefix('judge/').rsplit('/', 3)[0]}"
    return WEAKER if request.startswith("reply/") and request.split("/")[-2] == "rejected" else "policy"


def _name(stage: str, asker: str) -> str | None:
    """How the asker is called in the bill; None for the scorer, which measures here and is asked nothing."""
    # An audit asks a judge as the filters do; only its stage tells the two apart.
    kind, _, rest = asker.partition(" ")
    if kind == "judge":
        return f"{'audit' if stage.startswith('audit.') else 'judge'} {public_name(rest)}"
    return {"scores": None, "weaker": WEAKER}.get(kind, "policy")
