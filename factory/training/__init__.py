"""SSO training: the losses, the equations and the optimiser loop. Importing this loads no torch."""

from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any, NamedTuple

import polars as pl

from factory.config import Training
from factory.config.engines import EngineBlock
from factory.errors import ConfigError, MissingExtraError
from factory.schema import REJECTED, LazySplit
from filters import build
from filters.funnel import FLAGS, apply

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


class Passing(NamedTuple):
    """The pairs to train on, and how many were left out by which filter for which reason."""

    pairs: pl.DataFrame
    dropped: dict[str, int]


def passing(pairs: pl.DataFrame, config: Training) -> Passing:
    """What passes `training.filters`. Raises ConfigError for a filter that needs votes, and where nothing passes."""
    if not config.filters:
        return Passing(pairs, {})
    found = apply(LazySplit(pairs.lazy(), REJECTED.empty().lazy()), build(config.filters))
    dropped = {f"{step.filter}: {reason}": n for step in found.funnel.steps for reason, n in step.reasons.items()}
    kept = found.kept.drop(FLAGS, strict=False).collect()
    if pairs.height and not kept.height:
        raise ConfigError(f"training.filters: no pair of {pairs.height} passes ({dropped}); ease them")
    return Passing(kept, dropped)


def deciding(config: Training) -> dict[str, Any]:
    """What of a training block changes the weights; filters where there are any, so that older trainings still fit."""
    filters = [one.fingerprint() for one in build(config.filters)]
    known = config.model_dump(mode="json", exclude={*SAME_WEIGHTS, "filters"})
    return {**known, **({"filters": filters} if filters else {})}


def trainer(engine: EngineBlock, config: Training) -> Callable[..., dict[str, Any]]:
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
