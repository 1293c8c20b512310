"""The `pairs:` block of a configuration: who writes the two replies to a prompt, and which of them is chosen."""

from math import comb
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from factory.config.engines import EngineBlock
from factory.registry import Registry
from factory.strict import Strict

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


class Pairs(Strict):
    """How two replies to a prompt are written, and which of them is chosen."""

    # `from` is a keyword of Python's: it is the key's name in YAML, in both directions.
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    maker: str = Field("principles", alias="from", min_length=1)
    """principles: steered by a feature's principles, the paper's way; delta: chosen by the policy, rejected by a weaker
    model; best_of_n: best and worst of several replies; label_first: the second reply is written to be better or worse
    than the first."""
    weak: str | None = None
    """delta: the weaker model (Hub id, folder, bundled:…, or the name an API knows)."""
    weak_engine: EngineBlock | None = None
    """delta: what runs it; null: the run's own engine."""
    n: int = Field(4, ge=2)
    """best_of_n: replies to each prompt."""
    by: str | None = None
    """best_of_n: the reward model (folder or Hub id) that tells best from worst; null: the run's judges, who compare
    every two replies in both orders."""
    template: str = "second"
    """label_first: name of a template in principles/templates, or the path of your own."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        # By its alias, which is what an error then calls it.
        return {"from": value} if isinstance(value, str) else value

    @property
    def weaker(self) -> str | None:
        """The model that writes the rejected replies, where it is another one than the policy."""
        return self.weak if self.maker == "delta" else None

    @property
    def steered(self) -> bool:
        """Whether principles steer the replies: such pairs have the system messages and the original that SSO reads."""
        return self.maker == "principles"

    @property
    def comparisons(self) -> int:
        """How many pairs of replies to a prompt the judges compare before one of them is the pair."""
        return comb(self.n, 2) if self.maker == "best_of_n" and self.by is None else 0
