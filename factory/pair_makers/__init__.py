"""Ways to make a pair, one file each: what writes the two replies to a prompt, and which of them is chosen."""

from collections.abc import Callable
from math import comb
from typing import Any

from factory.config import Config, Pairs
from factory.errors import ConfigError
from factory.registry import Registry
from factory.training.conditionals import ObjectiveForm

PAIR_MAKERS = Registry(
    "pair maker",
    "sso_factory.pair_makers",
    {
        "principles": "factory.pair_makers.principles:make",
        "delta": "factory.pair_makers.delta:make",
        "best_of_n": "factory.pair_makers.best_of_n:make",
        "label_first": "factory.pair_makers.label_first:make",
    },
    callable,
    "function of (steps, prompts, policy, iteration)",
)
"""For each value of `pairs.from` the function `(steps, prompts, policy, iteration) -> IterationTables`."""


def comparisons(pairs: Pairs) -> int:
    """How many pairs of replies to a prompt the judges compare before one of them is the pair."""
    return comb(pairs.n, 2) if pairs.maker == "best_of_n" and pairs.by is None else 0


def pair_maker(config: Config) -> Callable[..., Any]:
    """The function that `pairs.from` names. Raises ConfigError where it is none, or cannot do with what else is set."""
    name = config.pairs.maker
    if name not in PAIR_MAKERS:
        raise ConfigError(f"pairs.from: {PAIR_MAKERS.unknown(name)}")
    _check_training(config)
    if name == "delta" and config.pairs.weak is None:
        raise ConfigError("pairs.from: delta takes the rejected replies from a weaker model; name it in pairs.weak")
    if name == "best_of_n" and config.pairs.by is None and not config.judges:
        raise ConfigError("pairs.from: best_of_n needs somebody to tell best from worst; name judges, or set pairs.by")
    made: Callable[..., Any] = PAIR_MAKERS.load(name)
    return made


def _check_training(config: Config) -> None:
    method, name = config.training.method, config.pairs.maker
    if config.pairs.steered or method == "none":
        return
    views = {view for _, view in ObjectiveForm.of(config.training).needed} - {"plain"}
    if views:
        raise ConfigError(
            f"pairs.from: {name} makes pairs without principles, under which training.method: {method} compares "
            "replies; set training.method to pbaa (the base loss alone), sso_no_g with weight w, or none"
        )
