"""Engines that are opened when first needed, each wrapped in the journal of the stage that uses it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple, Self

from factory.config import Judge
from factory.config.engines import EngineBlock, OpenaiEngine, PluginEngine, RayEngine, TransformersEngine
from factory.engines import open_generator
from factory.engines.api.accounts import ENGINE, Spending
from factory.engines.base import Completion, Generator, Request, Score, Scorer, ScoreRequest
from factory.identity import Messages, digest
from factory.models.ref import ModelRef
from factory.progress import Progress
from factory.reward.config import RewardScoring
from factory.stages.judge import BY_FEATURE, PanelMember
from factory.stages.worthless import Watched
from factory.store.journal import Journal, JournaledGenerator, JournaledScorer
from principles import template_of


class EnginePool:
    """Holds at most one opened engine, so that a model's memory is free before the next one is loaded."""

    def __init__(self, progress: Progress, spending: Spending | None = None) -> None:
        """Money is counted in `spending`; without it each opened engine counts its own."""
        self._progress, self._spending = progress, spending
        self._open = ExitStack()
        self._held: tuple[object, ...] = ()
        self._engine: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the engine in hand, and of the file that money is counted in."""
        if self._spending:
            self._spending.close()
        self._open.close()
        self._open, self._held, self._engine = ExitStack(), (), None

    def generator(
        self, block: EngineBlock, model: ModelRef, journal: Journal, name: str, account: str = ENGINE
    ) -> JournaledGenerator:
        """The generator for `model`, opened when first asked something; `name` shows on the progress line.

        `account` pays: engines that share one share their `max_cost`.
        """
        engine = Watched(_RoomGenerator(self, block, model, account), name)
        return JournaledGenerator(engine, journal, self._progress, name, setting_of(block, model))

    def scorer(self, block: EngineBlock, model: ModelRef, journal: Journal, name: str) -> JournaledScorer:
        """The scorer for `model`, likewise."""
        return JournaledScorer(_RoomScorer(self, block, model), journal, self._progress, name, setting_of(block, model))

    def rewards(
        self, model: ModelRef, conversations: Sequence[tuple[Messages, str]], journal: Journal
    ) -> list[float | None]:
        """The reward of each reply to its prompt by the reward model `model`; None where it has none."""
        self.close()
        scorer = resolve_name("factory.reward.scorer:open_reward_model")(model, RewardScoring())
        talks = [resolve_name("factory.reward.scorer:Conversation")(*one) for one in conversations]
        return [one.score for one in scorer.rewards(talks, self._progress, journal, model.identity)]

    def hold(self, block: EngineBlock, model: ModelRef, account: str = ENGINE) -> Any:
        """The opened engine, kept until another one is asked for; one that scores does so on the same weights."""
        if self._held != (block, model):
            self.close()
            self._progress.say(f"  opening {model.called} ({block.kind})")
            self._engine = self._open.enter_context(open_generator(block, model))
            self._held = (block, model)
        if self._spending and isinstance(block, OpenaiEngine):
            self._engine.charge(self._spending.accounts(account, block.max_cost))
        return self._engine


def setting_of(block: EngineBlock, model: ModelRef) -> str:
    """Names what answers, as far as speed goes: the engine with all its options, the model whether trained or not."""
    options = block.model_dump(mode="json", exclude={"prices", "max_cost"})
    return digest([options, model.called.rsplit("@", 1)[0]])


class _RoomGenerator(NamedTuple):
    """A Generator that is opened when first used and gives way to the next one."""

    room: EnginePool
    block: EngineBlock
    model: ModelRef
    account: str

    @property
    def engine(self) -> Generator:
        engine: Generator = self.room.hold(self.block, self.model, self.account)
        return engine

    @property
    def identity(self) -> str:
        return self.engine.identity

    @property
    def context_length(self) -> int | None:
        return self.engine.context_length

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        return self.engine.count_tokens(conversations)

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        return self.engine.generate(requests)


class _RoomScorer(NamedTuple):
    """A Scorer likewise."""

    room: EnginePool
    block: EngineBlock
    model: ModelRef

    @property
    def engine(self) -> Scorer:
        engine: Scorer = self.room.hold(self.block, self.model)
        return engine

    @property
    def identity(self) -> str:
        return self.engine.identity

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        return self.engine.score(requests)


def judge_block(judge: Judge, run_engine: EngineBlock | None) -> EngineBlock:
    """The engine a judge runs on.

    Its own block if it has one. Otherwise a scripted run stays scripted, a model that lies on this machine or on the
    Hub (`bundled:…`, a folder, `org/name`) runs on the run's engine, and any other name is asked of an API.
    """
    if judge.engine is not None:
        return judge.engine
    if run_engine is not None and _inner(run_engine).kind == "scripted":
        return run_engine
    model = judge_model(judge)
    if model.startswith("bundled:") or "/" in model or Path(model).is_dir():
        return run_engine or TransformersEngine()
    return OpenaiEngine()


def judge_model(judge: Judge) -> str:
    """The model behind a judge: its own name where `model` is not given."""
    return judge.model or judge.name


def scorer_block(block: EngineBlock, trained: bool) -> EngineBlock | None:
    """The engine that measures log-probabilities: transformers, whose numbers training goes on from, or the script.

    On Ray where the run is and its actors hold models. None for a model of an API, or of another package's engine, that
    is not trained: nobody needs to have it here.
    """
    if is_remote(block) or isinstance(_inner(block), PluginEngine):
        return TransformersEngine() if trained else None
    if _inner(block).kind in ("scripted", "transformers"):
        return block
    if isinstance(block, RayEngine):
        return block.model_copy(update={"engine": TransformersEngine()})
    return TransformersEngine()


def is_remote(block: EngineBlock) -> bool:
    """Whether the model is that of a server which runs without us, asked over HTTP from here or from Ray's workers."""
    return _inner(block).runner == "openai"


def _inner(block: EngineBlock) -> EngineBlock:
    """The engine that answers: Ray's is the one in its actors."""
    return block.engine if isinstance(block, RayEngine) else block


def judge_names(judge: Judge) -> list[str]:
    """What a judge and its model are called."""
    return [judge.name, judge_model(judge)]


_ADDED = ("kept_sample", "criterion")
"""Keys that judges have had only since run folders were about; at their default they change no vote."""


def judge_fingerprint(judge: Judge, run_engine: EngineBlock | None) -> dict[str, object]:
    """What decides a judge's votes. Keys added later count where they are set, so that older run folders still fit."""
    block = judge_block(judge, run_engine)
    template = template_of("judge", judge.template).digest
    default = [name for name in _ADDED if getattr(judge, name) == Judge.model_fields[name].default]
    own = judge.model_dump(mode="json", exclude={"engine", "license", "template", *default})
    named = {} if judge.criterion is None else {"criterion": template_of(BY_FEATURE, BY_FEATURE).digest}
    return {**own, **named, "template": template, "engine": block.fingerprint}


def account_of(judge: Judge, run_engine: EngineBlock | None, role: str) -> str:
    """Which account pays for a judge: the run engine's, where it runs on that, else one of its own."""
    return ENGINE if judge_block(judge, run_engine) is run_engine else f"{role} {judge.name}"


def open_panel(
    judges: Sequence[Judge], run_engine: EngineBlock | None, room: EnginePool, journal: Journal, role: str = "judge"
) -> list[PanelMember]:
    """The judges with their engines, each opened when its turn comes; one on an engine of its own pays by itself."""
    panel = []
    for judge in judges:
        block = judge_block(judge, run_engine)
        account = account_of(judge, run_engine, role)
        model = ModelRef(judge_model(judge))
        panel.append(PanelMember(judge, room.generator(block, model, journal, f"judge {judge.name}", account)))
    return panel
