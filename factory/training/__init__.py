"""SSO training: the losses, the equations and the optimiser loop. Importing this loads no torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

from factory.errors import MissingExtraError
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent

if TYPE_CHECKING:
    import polars as pl

    from factory.config import Training
    from factory.config.engines import EngineBlock

TRAINERS: Mapping[str, str] = {
    "transformers": "factory.training.run:stage",
    "launched": "factory.training.launched:stage",
    "scripted": "factory.training.passing:stage",
}
"""How a policy is trained: here, in processes of its own, or not at all."""

_OF_EXTRAS = ("torch", "transformers", "accelerate")
"""Packages that come with an extra, and without which a module cannot be imported."""

SAME_WEIGHTS = {"save_steps", "report_to", "logits_chunk", "launch", "scores", "generator"}
"""Keys of the training block that change how or when training runs and not what comes of it."""


class TrainingJob(NamedTuple):
    """One training: what a trainer is given."""

    pairs: "pl.DataFrame"
    """A SCORES table."""
    policy: ModelRef
    out: Path
    config: "Training"
    seed: int
    iteration: int | None = None
    """None for a training outside of a run."""
    progress: Progress = Silent()

    def record(self, data: str, pairs: int) -> dict[str, Any]:
        """What policy.json says of where a policy is from; `data` is the digest of the `pairs` it was trained on."""
        return {
            "parent": self.policy.called,
            "parent_identity": self.policy.identity,
            "iteration": self.iteration,
            "method": self.config.method,
            "data": data,
            "pairs": pairs,
            "seed": self.seed,
            "config": self.config.model_dump(mode="json"),
        }


def trainer(engine: "EngineBlock", config: "Training") -> Callable[[TrainingJob], dict[str, Any]]:
    """The function that makes policy and metrics in the job's `out`, and gives the facts of its stage.

    A scripted engine has no weights, so its training makes none either and a dry run stays one.
    """
    # Ray's block holds that of the engine in its actors.
    inner = getattr(engine, "engine", engine)
    kind = "scripted" if inner.kind == "scripted" else "launched" if config.launch else "transformers"
    found: Callable[[TrainingJob], dict[str, Any]] = with_extra(TRAINERS[kind], "train")
    return found


def with_extra(name: str, extra: str) -> Any:
    """What `module:name` stands for. MissingExtraError where a package that the extra brings is not installed."""
    try:
        return resolve_name(name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _OF_EXTRAS:
            raise
        raise MissingExtraError(extra, package) from error
