"""The engine that is open, of all that a run asks, and the same as each stage is given it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pkgutil import resolve_name
from typing import Any, NamedTuple, Self

from factory.config.apis import ApiEngine
from factory.config.engines import EngineBlock, PluginEngine, RayEngine, TransformersEngine
from factory.engines import open_generator
from factory.engines.api.accounts import ENGINE, Spending
from factory.engines.base import Completion, Request, Score, ScoreRequest, recorded_completion, recorded_score
from factory.identity import Messages, digest
from factory.models.ref import ModelRef
from factory.progress import Progress
from factory.stages.worthless import AnswerWatch
from factory.store.journal import Asker, Journal, journaled, with_room


class EnginePool:
    """Holds at most one opened engine, so that a model's memory is free before the next one is loaded."""

    def __init__(self, progress: Progress, spending: Spending | None = None) -> None:
        """Money is counted in `spending`; without it each opened engine counts its own."""
        self._progress, self._spending = progress, spending
        self._open = ExitStack()
        self._opened: tuple[object, ...] = ()
        self._engine: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the engine in hand, and of the file that money is counted in."""
        self._open.close()
        if self._spending:
            # Last: an engine that closes counts what is under way.
            self._spending.close()
        self._open, self._opened, self._engine = ExitStack(), (), None

    def generator(
        self, block: EngineBlock, model: ModelRef, journal: Journal, name: str, account: str = ENGINE
    ) -> "StageEngine":
        """The generator for `model`, opened when first asked something; `name` shows on the progress line.

        `account` pays: engines that share one share their `max_cost`.
        """
        asker = Asker(journal, self._progress, name, setting_of(block, model))
        return StageEngine(self, block, model, asker, account, AnswerWatch(name).watched)

    def scorer(self, block: EngineBlock, model: ModelRef, journal: Journal, name: str) -> "StageEngine":
        """The scorer for `model`, likewise."""
        return StageEngine(self, block, model, Asker(journal, self._progress, name, setting_of(block, model)))

    def rewards(
        self, model: ModelRef, conversations: Sequence[tuple[Messages, str]], journal: Journal
    ) -> list[float | None]:
        """The reward of each reply to its prompt by the reward model `model`; None where it has none."""
        self.close()
        reward = resolve_name("factory.reward.scorer")  # by name: it stands above, and loads torch
        talks = [reward.Conversation(*one) for one in conversations]
        scorer = reward.open_reward_model(model, reward.RewardScoring())
        return [one.score for one in scorer.rewards(talks, self._progress, journal, model.identity)]

    def get(self, block: EngineBlock, model: ModelRef, account: str = ENGINE) -> Any:
        """The opened engine, kept until another one is asked for; one that scores does so on the same weights."""
        # By value, not identity: judges of one model on one block share what is open, whoever made the blocks.
        if self._opened != (block, model):
            self.close()
            self._progress.say(f"  opening {model.called} ({block.kind})")
            self._engine = self._open.enter_context(open_generator(block, model))
            self._opened = (block, model)
        if self._spending and isinstance(block, ApiEngine):
            # At each turn: judges that share an open engine may be paid for by different accounts.
            self._engine.charge(self._spending.accounts(account, block.max_cost))
        return self._engine


class StageEngine(NamedTuple):
    """An engine as a stage is given it: opened when first asked, its answers journaled, and the next one's room."""

    pool: EnginePool
    block: EngineBlock
    model: ModelRef
    asker: Asker
    account: str = ENGINE
    around: Callable[[Callable[[Any], Any]], Callable[[Any], Any]] = lambda ask: ask
    """What is done with questions on their way to the engine, and with answers on their way back."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """As the engine's, each answer asked for at most once."""
        # Opened even where every answer is in the journal: its identity is part of each answer's key.
        engine = self.pool.get(self.block, self.model, self.account)
        asker = self.asker._replace(setting=with_room(self.asker.setting, requests))
        return journaled(self.around(engine.generate), recorded_completion, engine.identity, requests, asker)

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        """As the engine's, each score computed at most once."""
        engine = self.pool.get(self.block, self.model, self.account)
        return journaled(self.around(engine.score), recorded_score, engine.identity, requests, self.asker, "prompts")


def setting_of(block: EngineBlock, model: ModelRef) -> str:
    """Names what answers, as far as speed goes: the engine with all its options, the model whether trained or not."""
    # What a policy is called before the @ tells its size; which training made it changes no speed.
    options = block.model_dump(mode="json", exclude={"prices", "max_cost"})
    return digest([options, model.called.rsplit("@", 1)[0]])


def scorer_block(block: EngineBlock, trained: bool) -> EngineBlock | None:
    """The engine that measures log-probabilities: transformers, whose numbers training goes on from, or the script.

    On Ray where the run is and its actors hold models. None for a model of an API, or of another package's engine, that
    is not trained: nobody needs to have it here.
    """
    if block.remote or isinstance(block.inner, PluginEngine):
        return TransformersEngine() if trained else None
    if block.inner.kind in ("scripted", "transformers"):
        return block
    if isinstance(block, RayEngine):
        return block.model_copy(update={"engine": TransformersEngine()})
    return TransformersEngine()
