"""Beyond one machine: Ray Data over actors, each holding one of the other engines."""

import logging
import math
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pyarrow
import ray

from factory.config.engines import RayEngine, ScriptedEngine, TransformersEngine, VllmEngine
from factory.engines import open_generator, open_scorer, resolve_engine
from factory.engines.base import Completion, Engine, Request, Score, ScoreRequest
from factory.errors import ConfigError, EngineError, FactoryError, first_line
from factory.identity import Messages
from factory.models.ref import ModelRef

COLUMN = "payload"


class RayModel:
    """Engine, and scorer where the inner engine is one, over a pool of actors.

    Requests go out in blocks and come back a block at a time, in any order. A worker or node that is lost costs its
    block, which another one computes again. Answers are those of the inner engine: its identity is this one's.
    """

    def __init__(self, block: RayEngine, model: ModelRef) -> None:
        """Join the cluster, or start Ray here. Raises EngineError when no actor could ever be placed."""
        if isinstance(block.engine, ScriptedEngine) and block.engine.script is not None:
            raise ConfigError("engine.engine.script: a script is answered in order, and Ray has none; leave it out")
        self._block, self._model = block, model
        self._local = _local(block, model)
        self._started = _join(block)
        _check_room(block)

    @property
    def identity(self) -> str:
        """The inner engine's."""
        if isinstance(self._block.engine, VllmEngine):
            return f"vllm:{self._model.identity}"
        return self._local.identity

    @property
    def context_length(self) -> int | None:
        """The inner engine's."""
        context = self._local.context_length
        limit = self._block.engine.max_model_len if isinstance(self._block.engine, VllmEngine) else None
        return context if limit is None else limit if context is None else min(context, limit)

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        """Counted here, with the inner engine's tokenizer."""
        return self._local.count_tokens(conversations)

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield completions a block at a time. Raises EngineError when a block fails other than by a lost worker."""
        return cast("Iterator[Completion]", self._mapped(requests, "generate"))

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        """Yield scores a block at a time."""
        if not hasattr(resolve_engine(self._block.engine), "score"):
            raise EngineError(f"engine {self._block.engine.kind} cannot score replies, on Ray or elsewhere")
        return cast("Iterator[Score]", self._mapped(requests, "score"))

    def close(self) -> None:
        """Leave the cluster; a Ray that was started here is stopped."""
        cast(Any, self._local).close()
        if self._started:
            ray.shutdown()

    def _mapped(self, requests: Sequence[Request] | Sequence[ScoreRequest], method: str) -> Iterator[Any]:
        if not requests:
            return
        block = self._block
        # Progress is the stage's to show.
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        data = ray.data.from_items(
            # As bytes: Ray would make Arrow columns of a request's fields, in which missing and empty become one.
            [{COLUMN: pickle.dumps(request)} for request in requests],
            override_num_blocks=math.ceil(len(requests) / block.block_size),
        ).map_batches(
            Actor,
            # A whole block at a time: cut into batches, the last rows would wait for others to fill theirs.
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=block.concurrency, initial_size=block.concurrency),
            num_cpus=block.num_cpus,
            num_gpus=block.num_gpus or None,
            fn_constructor_args=(block.engine, self._model, method),
        )
        try:
            for batch in data.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from map(_opened, batch[COLUMN].to_pylist())
        except FactoryError:
            raise
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise EngineError(f"a block failed on Ray: {lines[-1]}") from error


class Actor:
    """What Ray keeps in each worker: an inner engine that answers block after block.

    It is opened with the first block, and its errors are answers too: Ray would try an actor that cannot begin again
    and again.
    """

    def __init__(self, block: Any, model: ModelRef, method: str) -> None:
        self._engine = (open_scorer if method == "score" else open_generator)(block, model)
        self._method = method
        self._answer: Callable[[Sequence[Any]], Iterator[Any]] | None = None

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """Answer the requests of one block."""
        requests = [pickle.loads(payload) for payload in batch[COLUMN].to_pylist()]
        try:
            if self._answer is None:
                self._answer = getattr(self._engine.__enter__(), self._method)
            answers = list(self._answer(requests))
        except FactoryError as error:
            # As one of ours of one argument: others cannot all be pickled.
            answers = [EngineError(str(error))]
        return pyarrow.table({COLUMN: [pickle.dumps(answer) for answer in answers]})


def _opened(payload: bytes) -> Any:
    """An answer. Raises EngineError where the engine had none."""
    answer = pickle.loads(payload)
    if isinstance(answer, EngineError):
        raise answer
    return answer


def _local(block: RayEngine, model: ModelRef) -> Engine:
    """What counts tokens here: the inner engine itself, or one that loads but the tokenizer of the same model."""
    engine = block.engine
    if isinstance(engine, VllmEngine):
        engine = TransformersEngine(device="cpu")
    elif isinstance(engine, TransformersEngine):
        engine = engine.model_copy(update={"device": "cpu"})
    return cast(Engine, resolve_engine(engine)(engine, model))


def _join(block: RayEngine) -> bool:
    """Connect to Ray unless that is done already; whether it was started for us."""
    # It would log each plan that it executes.
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    if ray.is_initialized():
        return False
    # Room for every actor, though they may have to share the real processors: one that has none would wait for ever.
    cpus = max(os.cpu_count() or 1, math.ceil(block.concurrency * block.num_cpus) + 1)
    here = {"num_cpus": cpus, "include_dashboard": False}
    options: dict[str, Any] = {"address": block.address} if block.address else here
    # Ray would report to its makers what is run here, unless somebody has asked it to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **options)
    except Exception as error:
        where = f"the cluster at {block.address}" if block.address else "Ray on this machine"
        raise EngineError(f"cannot reach {where}: {first_line(error)}") from error
    return True


def _check_room(block: RayEngine) -> None:
    """Ray would wait for ever for an actor that fits on no node."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= block.num_cpus and node.get("GPU", 0) >= block.num_gpus for node in nodes):
        raise EngineError(
            f"no node of the cluster has {block.num_cpus:g} CPUs and {block.num_gpus:g} GPUs for an actor; "
            "lower engine.num_cpus or engine.num_gpus"
        )
