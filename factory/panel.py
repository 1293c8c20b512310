"""Engines that are opened when first needed, each wrapped in the journal of the stage that uses it."""

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from factory.config import Judge
from factory.engine_blocks import EngineBlock, OpenaiEngine, ScriptedEngine, TransformersEngine
from factory.engines import open_generator, open_scorer
from factory.engines.base import Generator, ModelRef, Scorer
from factory.journal import Journal, JournaledGenerator, JournaledScorer
from factory.progress import Progress


class EngineRoom:
    """Holds at most one opened engine, so that a model's memory is free before the next one is loaded."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._open = ExitStack()
        self._held: tuple[object, ...] = ()
        self._engine: Generator | Scorer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the engine in hand."""
        self._open.close()
        self._open, self._held, self._engine = ExitStack(), (), None

    def generator(self, block: EngineBlock, model: ModelRef, journal: Journal, name: str) -> JournaledGenerator:
        """The generator for `model`, kept open until another engine is asked for; `name` shows on the progress line."""
        if self._held != ("generator", block, model):
            self.close()
            self._progress.say(f"  loading {model.name} ({block.kind})")
            engine: Generator = self._open.enter_context(open_generator(block, model))
            self._held, self._engine = ("generator", block, model), engine
        return JournaledGenerator(self._engine, journal, self._progress, name)  # type: ignore[arg-type]

    def scorer(self, block: EngineBlock, model: ModelRef, journal: Journal, name: str) -> JournaledScorer:
        """The scorer for `model`, likewise."""
        if self._held != ("scorer", block, model):
            self.close()
            self._progress.say(f"  loading {model.name} for scoring")
            scorer: Scorer = self._open.enter_context(open_scorer(block, model))
            self._held, self._engine = ("scorer", block, model), scorer
        return JournaledScorer(self._engine, journal, self._progress, name)  # type: ignore[arg-type]


def judge_block(judge: Judge, run_engine: EngineBlock | None) -> EngineBlock:
    """The engine a judge runs on.

    Its own block if it has one. Otherwise a scripted run stays scripted, a model that lies on this machine or on the
    Hub (`bundled:…`, a folder, `org/name`) runs on the run's engine, and any other name is asked of an API.
    """
    if judge.engine is not None:
        return judge.engine
    if isinstance(run_engine, ScriptedEngine):
        return run_engine
    model = judge_model(judge)
    if model.startswith("bundled:") or "/" in model or Path(model).is_dir():
        return run_engine or TransformersEngine()
    return OpenaiEngine()


def judge_model(judge: Judge) -> str:
    """The model behind a judge: its own name where `model` is not given."""
    return judge.model or judge.name


def scorer_block(block: EngineBlock) -> EngineBlock:
    """The engine that measures log-probabilities: transformers, whose numbers training goes on from, or the script."""
    return block if isinstance(block, ScriptedEngine | TransformersEngine) else TransformersEngine()


def judge_fingerprint(judge: Judge, run_engine: EngineBlock | None) -> dict[str, object]:
    """What decides a judge's votes."""
    block = judge_block(judge, run_engine)
    return {**judge.model_dump(mode="json", exclude={"engine", "license"}), "engine": block.fingerprint}
