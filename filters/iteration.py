"""`iteration`: which iterations of which method count."""

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl
from pydantic import Field, field_validator, model_validator

from filters.base import Filter, first_of

ANY_METHOD = "*"
_PAPER = {"sso": frozenset({1, 2, 3}), ANY_METHOD: frozenset({1, 2})}


class Iteration(Filter):
    """Keeps the iterations named for a pair's method; a pair that does not say its iteration is kept.

    Written `{use: iteration, keep: {sso: [1, 2, 3], "*": [1, 2]}}`, or with the methods straight in the block.
    """

    name: ClassVar[str] = "iteration"
    reasons: ClassVar[Mapping[str, str]] = {
        "iteration": "its iteration does not count for its method",
        "method": "no key covers its method",
    }

    keep: dict[str, frozenset[int]] = Field(default_factory=lambda: dict(_PAPER))
    """Iterations to keep, by method; "*" stands for every method not named, and for pairs without
    a method. The default is the paper's."""

    @model_validator(mode="before")
    @classmethod
    def _methods_in_the_block(cls, value: Any) -> Any:
        return value if not isinstance(value, dict) or "keep" in value or not value else {"keep": value}

    @field_validator("keep", mode="before")
    @classmethod
    def _lists_of_iterations(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not all(isinstance(listed, list | tuple | set) for listed in value.values()):
            raise ValueError("give a list of iterations for each method, as in {sso: [1, 2, 3], '*': [1, 2]}")
        return value

    def measures(self) -> dict[str, pl.Expr]:
        """The pair's method and iteration."""
        return {"method": pl.col("method"), "iteration": pl.col("iteration")}

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`iteration` for one that does not count; `method` for a method that no key covers."""
        method, iteration = pl.col("method"), pl.col("iteration")
        named = {name: sorted(listed) for name, listed in self.keep.items() if name != ANY_METHOD}
        outside = pl.lit(False)
        for name, listed in named.items():
            # Null for a pair without an iteration, as every comparison with null: no reason, and it is kept.
            outside = pl.when(method == name).then(~iteration.is_in(listed)).otherwise(outside)
        uncovered = ~method.is_in(list(named))
        if ANY_METHOD in self.keep:
            stray = ~iteration.is_in(sorted(self.keep[ANY_METHOD])) & uncovered.fill_null(True)
            return rows.with_columns(reason=first_of((outside | stray, "iteration")))
        return rows.with_columns(
            reason=first_of((outside, "iteration"), (uncovered & iteration.is_not_null(), "method"))
        )
