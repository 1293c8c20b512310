"""Ways to make a pair, one file each: what writes the two replies to a prompt, and which of them is chosen."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from math import comb
from pkgutil import resolve_name
from typing import Any

from factory.config import Config, Pairs
from factory.errors import ConfigError
from factory.training.conditionals import ObjectiveForm

PAIR_MAKERS: Mapping[str, str] = {
    "principles": "factory.pair_makers.principles:make",
    "delta": "factory.pair_makers.delta:make",
    "best_of_n": "factory.pair_makers.best_of_n:make",
    "label_first": "factory.pair_makers.label_first:make",
}
"""For each value of `pairs.from` the function `(steps, prompts, policy, iteration) -> Made`."""

STEERED = frozenset({"principles"})
"""Those whose pairs have the system messages and the original reply that SSO trains on."""


def comparisons(pairs: Pairs) -> int:
    """How many pairs of replies to a prompt the judges compare before one of them is the pair."""
    return comb(pairs.n, 2) if pairs.maker == "best_of_n" and pairs.by is None else 0


def pair_maker(config: Config) -> Callable[..., Any]:
    """The function that `pairs.from` names. Raises ConfigError where it is none, or cannot do with what else is set."""
    name = config.pairs.maker
    if name not in PAIR_MAKERS:
        near = get_close_matches(name, PAIR_MAKERS, n=1)
        raise ConfigError(
            f"pairs.from: there is no pair maker {name!r}; "
            + (f"did you mean {near[0]}?" if near else f"known are {', '.join(PAIR_MAKERS)}")
        )
    _check_training(config)
    if name == "delta" and config.pairs.weak is None:
        raise ConfigError("pairs.from: delta takes the rejected replies from a weaker model; name it in pairs.weak")
    if name == "best_of_n" and config.pairs.by is None and not config.judges:
        raise ConfigError("pairs.from: best_of_n needs somebody to tell best from worst; name judges, or set pairs.by")
    made: Callable[..., Any] = resolve_name(PAIR_MAKERS[name])
    return made


def _check_training(config: Config) -> None:
    method, name = config.training.method, config.pairs.maker
    if name in STEERED or method == "none":
        return
    views = {view for _, view in ObjectiveForm.of(config.training).needed} - {"plain"}
    if views:
        raise ConfigError(
            f"pairs.from: {name} makes pairs without principles, under which training.method: {method} compares "
            "replies; set training.method to pbaa (the base loss alone), sso_no_g with weight w, or none"
        )
