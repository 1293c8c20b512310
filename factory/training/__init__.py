"""SSO training: the losses, the equations and the optimiser loop. Importing this loads no torch."""

from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from factory.errors import MissingExtraError

if TYPE_CHECKING:
    from factory.config import Training
    from factory.config.engines import EngineBlock

TRAINERS: Mapping[str, str] = {
    "transformers": "factory.training.run:stage",
    "launched": "factory.training.launched:stage",
    "scripted": "factory.training.scripted:stage",
}
"""How a policy is trained: here, in processes of its own, or not at all."""

_OF_EXTRAS = ("torch", "transformers", "accelerate")
"""Packages that come with an extra, and without which a module cannot be imported."""

SAME_WEIGHTS = {"save_steps", "report_to", "logits_chunk", "launch", "scores", "generator"}
"""Keys of the training block that change how or when training runs and not what comes of it."""


def trainer(engine: "EngineBlock", config: "Training") -> Callable[..., dict[str, Any]]:
    """The function `(pairs, policy, out, config, *, seed, iteration, progress) -> facts` that makes `out`/policy.

    A scripted engine has no weights, so its training makes none either and a dry run stays one.
    """
    inner = getattr(engine, "engine", engine)
    kind = "scripted" if inner.kind == "scripted" else "launched" if config.launch else "transformers"
    found: Callable[..., dict[str, Any]] = with_extra(TRAINERS[kind], "train")
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
