"""`run --dry-run`: what a run would ask and cost, found by running the line on a scripted engine and counting."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import polars as pl

from factory.config import Config
from factory.engine_blocks import EngineBlock, OpenaiEngine, ScriptedEngine
from factory.engines.api.accounts import ENGINE
from factory.engines.api.prices import priced
from factory.engines.api.wire import cost as price
from factory.engines.base import Completion, Generator, Request, Score, Scorer, ScoreRequest
from factory.identity import Messages
from factory.journal import Journal, JournaledGenerator, JournaledScorer, with_room
from factory.load import settled
from factory.models.ref import ModelRef
from factory.panel import EngineRoom, judge_block, scorer_block, setting_of
from factory.pipeline import the_line
from factory.preflight import last_stage, preflight
from factory.progress import Silent
from factory.rates import Rates, Time
from factory.readers import read_prompts
from factory.stages.prompts import per_round
from factory.stages.prompts import prompts as plan_portions
from factory.steps import Steps
from factory.store import StageReachedError, open_run

SAMPLE_PROMPTS = 200
"""A plan counts the requests for at most this many prompts and scales them to all."""
_BEYOND = ("filtered", "audit", "exports")
"""Folders of stages that a plan does not go beyond judging for."""
CHARS_PER_TOKEN = 4
"""A rule of thumb for English: a plan opens no tokenizer."""


class StagePlan(NamedTuple):
    """What one stage asks. Completion tokens and cost are upper bounds: every answer at its longest."""

    name: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    time: Time
    """How long its requests take, not counting the loading of a model."""
    cost: float | None


class Plan(NamedTuple):
    """How many prompts a run takes, and the stages that ask a model, in order."""

    prompts: int
    stages: list[StagePlan]
    further: int = 0
    """Prompts that wait for further rounds under a target; how many are taken shows in the run alone."""

    @property
    def total(self) -> StagePlan:
        """The sum; its cost is None when no stage has a price, its time when that of any stage is unknown."""
        costs = [stage.cost for stage in self.stages if stage.cost is not None]
        known = [stage.time.seconds for stage in self.stages if stage.time.seconds is not None]
        return StagePlan(
            "total",
            sum(stage.requests for stage in self.stages),
            sum(stage.prompt_tokens for stage in self.stages),
            sum(stage.completion_tokens for stage in self.stages),
            Time(sum(known)) if len(known) == len(self.stages) else Time(),
            sum(costs) if costs else None,
        )


def plan(
    config: Config | Mapping[str, Any] | str | Path, run_dir: str | Path | None = None, *, until: str | None = None
) -> Plan:
    """What `config` asks of which model, stage by stage. Sends nothing, opens no model, leaves nothing on disk.

    Judges are counted as a run would ask them if made-up votes were theirs. Times are those of the same stages, run
    before in the run folder with the same engine and model, or what the account's ceilings allow; training is not
    counted. Under a target the iterations alone are. Raises the errors that a run would raise before its first request.
    """
    config = settled(config, Config)
    preflight(config)
    last = last_stage(until, config) if until else "filter"
    last = "filter" if last.split("/")[0] in _BEYOND else last
    rates = Rates.of(Path(run_dir or config.run.dir))
    iterations, asked = config.run.iterations, config.prompts
    found = plan_portions(read_prompts(asked.paths), asked, config.run.seed, iterations).kept
    prompts = found.filter(pl.col("portion") <= iterations).height
    sampled = min(prompts, SAMPLE_PROMPTS)
    size = per_round(asked, iterations)
    few = asked.model_copy(update={"limit": sampled, "per_round": size and max(1, round(size * sampled / prompts))})
    counted = config.model_copy(update={"engine": ScriptedEngine(), "prompts": few})
    with TemporaryDirectory() as folder, _CountingRoom(config) as room:
        with (
            open_run(Path(folder), Silent(), until=last) as store,
            suppress(StageReachedError),
        ):
            the_line(Steps(counted, store, room))
        return Plan(prompts, room.plans(prompts / sampled, rates), found.height - prompts)


@dataclass
class _Tally:
    block: EngineBlock
    model: str
    setting: str
    requests: int = 0
    prompt_chars: int = 0
    completion_tokens: int = 0

    def ask(self, requests: Sequence[Request]) -> None:
        self.setting = with_room(self.setting.split("/")[0], requests)
        self.requests += len(requests)
        self.prompt_chars += sum(len(turn["content"]) for request in requests for turn in request.messages)
        self.completion_tokens += sum(request.max_new_tokens for request in requests)

    def score(self, requests: Sequence[ScoreRequest]) -> None:
        self.requests += len(requests)
        self.prompt_chars += sum(len(turn["content"]) for request in requests for turn in request.messages)
        self.prompt_chars += sum(len(reply.text) for request in requests for reply in request.replies)

    def plan(self, name: str, factor: float, rates: Rates) -> StagePlan:
        requests, prompt, completion = (
            ceil(count * factor)
            for count in (self.requests, self.prompt_chars / CHARS_PER_TOKEN, self.completion_tokens)
        )
        prices = priced(self.block, self.model).prices if isinstance(self.block, OpenaiEngine) else None
        cost = price(prices, prompt, completion)
        time = rates.time(name, self.setting, self.block, requests, prompt + completion)
        return StagePlan(name, requests, prompt, completion, time, cost)


class _CountingRoom(EngineRoom):
    """An engine room whose engines are scripted and counted, in the name of the engines they stand for."""

    def __init__(self, config: Config) -> None:
        super().__init__(Silent())
        self._config = config
        self._judges = {f"judge {judge.name}": judge_block(judge, config.engine) for judge in config.judges}
        self._scorer = scorer_block(config.engine, config.training.method != "none")
        self._tallies: dict[str, _Tally] = {}

    def generator(
        self, block: EngineBlock, model: ModelRef, journal: Journal, name: str, account: str = ENGINE
    ) -> JournaledGenerator:
        """A scripted generator; what it is asked counts towards `name`."""
        engine = super().generator(ScriptedEngine(), model, journal, name)
        tally = self._tally(name, self._judges.get(name, self._config.engine), model)
        return JournaledGenerator(_Counted(engine, tally), journal, Silent(), name)

    def scorer(self, block: EngineBlock, model: ModelRef, journal: Journal, name: str) -> JournaledScorer:
        """A scripted scorer, likewise where the run scores at all."""
        engine = super().scorer(ScriptedEngine(), model, journal, name)
        if self._scorer is None:
            return engine
        return JournaledScorer(_CountedScorer(engine, self._tally(name, self._scorer, model)), journal, Silent(), name)

    def _tally(self, name: str, block: EngineBlock, model: ModelRef) -> _Tally:
        return self._tallies.setdefault(name, _Tally(block, model.name, setting_of(block, model)))

    def plans(self, factor: float, rates: Rates) -> list[StagePlan]:
        """The tallies, scaled, of the stages that asked anything."""
        return [tally.plan(name, factor, rates) for name, tally in self._tallies.items() if tally.requests]


class _Counted(NamedTuple):
    """A Generator that counts what it is asked."""

    engine: Generator
    tally: _Tally

    @property
    def identity(self) -> str:
        return self.engine.identity

    @property
    def context_length(self) -> int | None:
        return None

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        return self.engine.count_tokens(conversations)

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        self.tally.ask(requests)
        return self.engine.generate(requests)


class _CountedScorer(NamedTuple):
    """A Scorer likewise."""

    engine: Scorer
    tally: _Tally

    @property
    def identity(self) -> str:
        return self.engine.identity

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        self.tally.score(requests)
        return self.engine.score(requests)
