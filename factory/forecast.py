"""`run --dry-run`: what a run would ask and cost, found by running the line on a scripted engine and counting."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from factory.config import Config
from factory.engine_blocks import EngineBlock, OpenaiEngine, Prices, ScriptedEngine
from factory.engines.base import Completion, Generator, ModelRef, Request
from factory.identity import Messages
from factory.journal import Journal, JournaledGenerator
from factory.panel import EngineRoom, judge_block
from factory.pipeline import the_line
from factory.preflight import preflight
from factory.progress import Silent
from factory.readers import read_prompts
from factory.stages.prompts import prompts as plan_portions
from factory.steps import Steps
from factory.store import StageReachedError, open_run

SAMPLE_PROMPTS = 200
"""A plan counts the requests for at most this many prompts and scales them to all."""
CHARS_PER_TOKEN = 4
"""A rule of thumb for English: a plan opens no tokenizer."""


class StagePlan(NamedTuple):
    """What one stage sends. Completion tokens and cost are upper bounds: every answer at its longest."""

    name: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


class Plan(NamedTuple):
    """How many prompts a run takes, and the stages that ask a model, in order."""

    prompts: int
    stages: list[StagePlan]

    @property
    def total(self) -> StagePlan:
        """The sum; its cost is None when no stage has a price."""
        costs = [stage.cost for stage in self.stages if stage.cost is not None]
        return StagePlan(
            "total",
            sum(stage.requests for stage in self.stages),
            sum(stage.prompt_tokens for stage in self.stages),
            sum(stage.completion_tokens for stage in self.stages),
            sum(costs) if costs else None,
        )


def plan(config: Config) -> Plan:
    """What `config` asks of which model, stage by stage. Sends nothing, opens no model, leaves nothing on disk.

    Judges are counted as a run would ask them if made-up votes were theirs. Raises the errors that a run would raise
    before its first request.
    """
    preflight(config)
    found = plan_portions(read_prompts(config.prompts.paths), config.prompts, config.run.seed, config.run.iterations)
    prompts = found.kept.height
    sampled = config.prompts.model_copy(update={"limit": min(prompts, SAMPLE_PROMPTS)})
    counted = config.model_copy(update={"engine": ScriptedEngine(), "prompts": sampled})
    with TemporaryDirectory() as folder, _CountingRoom(config) as room:
        with open_run(Path(folder), Silent(), until="filter") as store, suppress(StageReachedError):
            the_line(Steps(counted, store, room))
        return Plan(prompts, room.plans(prompts / min(prompts, SAMPLE_PROMPTS)))


@dataclass
class _Tally:
    prices: Prices | None
    requests: int = 0
    prompt_chars: int = 0
    completion_tokens: int = 0

    def count(self, request: Request) -> None:
        self.requests += 1
        self.prompt_chars += sum(len(turn["content"]) for turn in request.messages)
        self.completion_tokens += request.max_new_tokens

    def plan(self, name: str, factor: float) -> StagePlan:
        prompt, completion = (
            ceil(self.prompt_chars / CHARS_PER_TOKEN * factor),
            ceil(self.completion_tokens * factor),
        )
        prices = self.prices
        cost = (prompt * prices.prompt + completion * prices.completion) / 1e6 if prices else None
        return StagePlan(name, ceil(self.requests * factor), prompt, completion, cost)


class _CountingRoom(EngineRoom):
    """An engine room whose generators are scripted and counted, under the prices of the engines they stand for."""

    def __init__(self, config: Config) -> None:
        super().__init__(Silent())
        self._config = config
        self._tallies: dict[str, _Tally] = {}

    def generator(self, block: EngineBlock, model: ModelRef, journal: Journal, name: str) -> JournaledGenerator:
        """A scripted generator; what it is asked counts towards `name`."""
        engine = super().generator(ScriptedEngine(), model, journal, name)
        tally = self._tallies.setdefault(name, _Tally(self._prices(name)))
        return JournaledGenerator(_Counted(engine, tally), journal, Silent(), name)

    def _prices(self, name: str) -> Prices | None:
        judges = {f"judge {judge.name}": judge_block(judge, self._config.engine) for judge in self._config.judges}
        block = judges.get(name, self._config.engine)
        return block.prices if isinstance(block, OpenaiEngine) else None

    def plans(self, factor: float) -> list[StagePlan]:
        """The tallies, scaled, of the stages that asked anything."""
        return [tally.plan(name, factor) for name, tally in self._tallies.items() if tally.requests]


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
        for request in requests:
            self.tally.count(request)
        return self.engine.generate(requests)
