"""`run --dry-run`: what a run would ask and cost, found by running the line on a scripted engine and counting."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import polars as pl

from factory.config import Config, Judge
from factory.config.apis import ApiEngine
from factory.config.engines import EngineBlock, ScriptedEngine
from factory.config.load import as_config
from factory.engines.api.accounts import ENGINE
from factory.engines.api.spending import priced
from factory.engines.base import ScoreRequest
from factory.files import PathLike
from factory.identity import Messages
from factory.line.checking import due, question
from factory.line.preflight import last_stage, preflight
from factory.line.steps import Steps
from factory.models.ref import ModelRef
from factory.pipeline import the_line
from factory.progress import Silent
from factory.readers import Reading, fetched_once, read_prompts
from factory.runs.amounts import CHARS_PER_TOKEN, LENGTHS, Scale, StageAmounts, StagePlan, spread, summed
from factory.runs.rates import Rates, Time
from factory.schema import ORDERS
from factory.stages import is_before
from factory.stages.asked_models import judge_block, judge_model
from factory.stages.judge import Question, by_id, requests
from factory.stages.pool import EnginePool, StageEngine, scorer_block, setting_of
from factory.stages.prompts import per_round
from factory.stages.prompts import prompts as plan_portions
from factory.store import StageReachedError, open_run, preview_of
from factory.store.journal import Journal

SAMPLE_PROMPTS = 200
"""A plan counts the requests for at most this many prompts and scales them to all."""


class Plan(NamedTuple):
    """How many prompts a run takes, and the stages that ask a model, in order."""

    prompts: int
    stages: list[StagePlan]
    further: int = 0
    """Prompts that wait for further rounds under a target; how many are taken shows in the run alone."""
    measured: bool = False
    """Whether lengths and votes are those of an earlier run in the folder, or of its preview."""
    max_cost: float | None = None
    """`run.max_cost`."""
    reading: Reading | None = None
    """How the prompts were read."""

    @property
    def basis(self) -> str:
        """What the expectation assumes."""
        if self.measured:
            return "lengths and votes as measured before in this run or its preview"
        return (
            f"guesses: replies of up to {LENGTHS['replies']} tokens, or sampling.max_new_tokens if fewer, "
            "readable judges; run --preview measures them"
        )

    @property
    def total(self) -> StagePlan:
        """The sum over all stages."""
        return summed(self.stages)


class _Size(NamedTuple):
    """How many prompts there are."""

    sampled: int
    """Those that the scripted run takes."""
    first: int
    """Those of the iterations."""
    further: int
    """Those that wait for further rounds."""

    def part(self, sample: int | None) -> int | None:
        """What of a sample of kept pairs falls to the sampled prompts, whose counts are scaled to all of them."""
        return None if sample is None or not self.first else ceil(sample * self.sampled / self.first)


@fetched_once()
def plan(
    config: Config | Mapping[str, Any] | PathLike, run_dir: PathLike | None = None, *, until: str | None = None
) -> Plan:
    """What `config` asks of which model, stage by stage. Sends nothing, opens no model, leaves nothing on disk.

    Each stage has an expectation, between which bounds it probably ends, and what it cannot exceed. Lengths of prompts
    and answers and the number of votes are those of the same stages, run before in the run folder or its preview with
    the same engine and model; where there are none they are guesses, and the bounds wide. Times are measured likewise,
    or what the account's ceilings allow; training is not counted. Raises the errors that a run would raise before its
    first request.
    """
    config = as_config(config, Config)
    preflight(config)
    last = last_stage(until, config) if until else "filter"
    judged = not is_before(last, "filter")
    root = Path(run_dir or config.run.dir)
    rates = Rates.of(root, preview_of(root))
    iterations, asked = config.run.iterations, config.prompts
    read = read_prompts(asked.paths, asked.columns)
    found = plan_portions(read.split, asked, config.run.seed, iterations).kept
    first = found.filter(pl.col("portion") <= iterations).height
    size = _Size(min(first, SAMPLE_PROMPTS), first, found.height - first)
    each = per_round(asked, iterations)
    # Prompts and rounds shrink together, so that a round's share of the prompts stays what it is.
    few = asked.model_copy(
        update={"limit": size.sampled, "per_round": each and max(1, round(each * size.sampled / first))}
    )
    judges = [one.model_copy(update={"kept_sample": size.part(one.kept_sample)}) for one in config.judges]
    counted = config.model_copy(update={"engine": ScriptedEngine(), "prompts": few, "judges": judges})
    # The line itself, on made-up answers: what is counted cannot come to differ from what a run asks.
    with TemporaryDirectory() as folder, _CountingPool(config) as engines:
        with open_run(Path(folder), Silent(), until="filter" if judged else last) as store, suppress(StageReachedError):
            the_line(Steps(counted, store, engines))
        if judged and config.audit.judge:
            engines.audit(config.audit.judge, Path(folder) / "filtered" / "kept.parquet")
        stages = [*_checks(config, root, rates), *_stages(config, engines, size, rates)]
    measured = any(stage.measured for stage in stages)
    return Plan(first, stages, size.further, measured, config.run.max_cost, read.reading)


def _checks(config: Config, root: Path, rates: Rates) -> list[StagePlan]:
    """What the check asks before all else, in one row; none where it asks nothing."""
    plans = []
    for model in due(config, root):
        asked = StageAmounts("check", model.block, model.block.prices, "")
        asked.ask([question(model)])
        plans.append(asked.plan(Scale(1, 1, 1, 1), rates, config.sampling))
    if not plans:
        return []
    made = summed(plans)
    time = Time(made.time.seconds, plans[0].time.basis) if made.time.seconds is not None else Time(0.0, "not counted")
    return [made._replace(name="check", time=time)]


def _stages(config: Config, engines: "_CountingPool", size: _Size, rates: Rates) -> list[StagePlan]:
    """The plans of all that was asked, and of the further rounds, which count as the iteration after the last."""
    samples, last = config.pairs_per_prompt, config.run.iterations
    once = size.first / size.sampled
    rounds = _rounds(config, size, rates)
    whole = Scale(*(once * (size.first + extra) / size.first for extra in rounds))
    made, further = [], []
    for asked in engines.asked:
        scale = Scale(once, once, once, once)
        if asked.name.startswith("judge "):
            # A judge's votes hang on what it says, which nobody knows yet: counted is what it may be asked about.
            asked.pairs, asked.compared = size.sampled * samples, size.sampled * config.pairs.comparisons
            scale = whole
        elif asked.name.startswith("audit "):
            scale = _audited(config, asked.pairs, size, whole, rates)
        made.append(asked.plan(scale, rates, config.sampling))
        # A further round asks what the last iteration asked, of as many prompts; judges are counted over all rounds
        # above.
        if size.further and asked.name.endswith(f" {last}") and not asked.retried:
            more = replace(asked, name=f"{asked.name.removesuffix(f' {last}')} {last + 1}")
            further.append(more.plan(Scale(*(n * last / size.sampled for n in rounds)), rates, config.sampling))
    judging = [stage for stage in made if stage.name.startswith(("judge ", "audit "))]
    return [stage for stage in made if stage not in judging] + further + judging


def _rounds(config: Config, size: _Size, rates: Rates) -> Scale:
    """Prompts of further rounds: none expected where nothing is known of how many pairs pass, all of them at most."""
    target = config.prompts.target_pairs
    # How many pairs pass made-up judges says nothing: without a measurement none or all may be needed.
    if target is None or not (rates.kept and rates.triples):
        return Scale(0, 0, size.further, size.further)
    needed = target / (rates.kept / rates.triples * config.pairs_per_prompt)
    off = spread(rates.triples)
    expected, low, high = (
        min(max(needed * by - size.first, 0), size.further) for by in (1, 1 / (1 + off), 1 / (1 - off))
    )
    return Scale(expected, low, high, size.further)


def _audited(config: Config, counted: int, size: _Size, whole: Scale, rates: Rates) -> Scale:
    """Pairs that are audited, as a multiple of those counted."""
    bound = config.audit.sample or 10**12
    share = rates.kept / rates.triples if rates.kept else None
    pairs = [size.sampled * config.pairs_per_prompt * scale for scale in whole]
    kept = [n * share for n in pairs[:3]] if share else [counted * scale for scale in whole[:3]]
    off = spread(rates.triples)
    low, high = (kept[1] * (1 - off), kept[2] * (1 + off)) if share else (0.0, pairs[2])
    expected, low, high, most = (min(bound, n) / counted for n in (kept[0], low, high, pairs[3]))
    return Scale(expected, low, high, most)


class _CountingPool(EnginePool):
    """A pool whose engines are scripted and counted, in the name of the engines they stand for."""

    def __init__(self, config: Config) -> None:
        super().__init__(Silent())
        self._config = config
        self._judges = {f"judge {judge.name}": judge for judge in config.judges}
        self._scorer = scorer_block(config.engine, config.training.method != "none")
        self._asked: dict[str, StageAmounts] = {}

    @property
    def asked(self) -> list[StageAmounts]:
        """What was asked of anybody, with the replies that were shown as long as those written."""
        written = [asked for asked in self._asked.values() if asked.name.startswith("replies ")]
        mean = sum(each.written for each in written) / max(sum(each.requests for each in written), 1)
        found = [asked for asked in self._asked.values() if asked.requests]
        for each in found:
            each.shown = each.replies * mean / CHARS_PER_TOKEN
        return found

    def generator(
        self, block: EngineBlock, model: ModelRef, journal: Journal, name: str, account: str = ENGINE
    ) -> StageEngine:
        """A scripted generator; what it is asked counts towards `name`."""
        engine = super().generator(ScriptedEngine(), model, journal, name)
        judge = self._judges.get(name)
        # The line runs with a scripted engine in place of the run's; any other block is a model's own.
        own = self._config.engine if isinstance(block, ScriptedEngine) else block
        asked = self._count_for(name, judge_block(judge, self._config.engine) if judge else own, model)
        asked.retried = judge.retries + 1 if judge else None
        return engine._replace(around=lambda ask: _counted(engine.around(ask), asked))

    def scorer(self, block: EngineBlock, model: ModelRef, journal: Journal, name: str) -> StageEngine:
        """A scripted scorer, likewise where the run scores at all."""
        engine = super().scorer(ScriptedEngine(), model, journal, name)
        if self._scorer is None:
            return engine
        asked = self._count_for(name, self._scorer, model)
        return engine._replace(around=lambda ask: _counted(ask, asked))

    def audit(self, judge: Judge, kept: Path) -> None:
        """Count both orders of all pairs that the scripted run kept."""
        rows = by_id(pl.read_parquet(kept, glob=False))
        block = judge_block(judge, self._config.engine)
        asked = self._count_for(f"audit {judge.name}", block, ModelRef(judge_model(judge)))
        asked.pairs, asked.retried = len(rows), judge.retries + 1
        if rows:
            asked.ask(requests(judge, [Question(pair, order) for pair in rows for order in ORDERS], rows, seed=0))

    def rewards(
        self, model: ModelRef, conversations: Sequence[tuple[Messages, str]], journal: Journal
    ) -> list[float | None]:
        """Made up, so that no reward model is opened."""
        return [float(len(reply)) for _, reply in conversations]

    def _count_for(self, name: str, block: EngineBlock, model: ModelRef) -> StageAmounts:
        prices = priced(block, model.name).prices if isinstance(block, ApiEngine) else None
        return self._asked.setdefault(name, StageAmounts(name, block, prices, setting_of(block, model)))


def _counted(ask: Callable[[Any], Any], asked: StageAmounts) -> Callable[[Any], Any]:
    """`ask`, and what it is asked is counted."""

    def asking(requests: Any) -> Iterator[Any]:
        asked.score(requests) if isinstance(requests[0], ScoreRequest) else asked.ask(requests)
        for answer in ask(requests):
            asked.written += len(getattr(answer, "text", None) or "")
            yield answer

    return asking
