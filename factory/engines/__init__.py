"""Engines by name, and the two ways to hold one: as a generator of text and as a scorer of replies."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import Any

from factory.config.engines import ENGINES, EngineBlock
from factory.engines.base import Engine, Scorer
from factory.errors import EngineError, MissingExtraError
from factory.models.ref import ModelRef

NEEDS = {
    "transformers": ("train", ("torch", "transformers")),
    "vllm": ("vllm", ("vllm", "torch", "transformers")),
    "served": ("train", ("torch", "transformers")),
    "ray": ("ray", ("ray",)),
}
"""Extra of this package and the packages in it that an engine cannot start without."""


@contextmanager
def open_generator(block: EngineBlock, model: ModelRef) -> Iterator[Engine]:
    """A generator over `model`; its memory and processes are gone when the block is left.

    Raises MissingExtraError when the engine's package is not installed, EngineError when the model cannot be loaded.
    """
    with closing(resolve_engine(block)(block, model)) as engine:
        yield engine


@contextmanager
def open_scorer(block: EngineBlock, model: ModelRef) -> Iterator[Scorer]:
    """A scorer over `model`, ended like a generator. Raises EngineError for an engine that only generates."""
    if not hasattr(resolve_engine(block), "score"):
        raise EngineError(
            f"engine {block.kind} cannot score replies: it gives no log-probabilities of given text; "
            "use engine transformers or vllm, or training.method: none"
        )
    with closing(resolve_engine(block)(block, model)) as engine:
        yield engine


def resolve_engine(block: EngineBlock) -> Any:
    """The class that runs `block`. Raises as `require_engine`."""
    require_engine(block)
    return ENGINES.load(block.runner)


def require_engine(block: EngineBlock) -> None:
    """Raise MissingExtraError where a package that `block` needs is not installed, ConfigError where its class is none.

    Of Ray's too, here and not in a worker.
    """
    for runner in (block.runner, block.inner.runner):
        extra, packages = NEEDS.get(runner, ("", ()))
        for package in packages:
            if find_spec(package) is None:
                raise MissingExtraError(extra, package)
        # Ours are classes, and importing them takes long.
        if runner not in ENGINES.own:
            ENGINES.load(runner)
