"""`truncated`: replies that were cut by the length limit."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl

from filters.base import Filter, first_of

Reply = Literal["chosen", "rejected", "original"]
CUT = ("length", "max_tokens", "max_length", "max_output_tokens", "model_length")
"""What engines and vendors call an ending by the length limit, in small letters."""


class Truncated(Filter):
    """Drops a pair when one of `replies` ended because it reached the length limit; an unknown ending is kept."""

    name: ClassVar[str] = "truncated"
    reasons: ClassVar[Mapping[str, str]] = {
        "chosen_cut": "the chosen reply was cut by the length limit",
        "rejected_cut": "the rejected reply was cut by the length limit",
        "original_cut": "the original reply was cut by the length limit",
    }

    replies: tuple[Reply, ...] = ("chosen", "rejected")
    """Replies that must have ended by themselves."""

    @property
    def looks_at(self) -> tuple[str, ...]:
        """How each of `replies` ended."""
        return tuple(f"finish_{reply}" for reply in self.replies)

    def measures(self) -> dict[str, pl.Expr]:
        """Whether each reply was cut; null where its ending is not known."""
        return {f"cut_{reply}": pl.col(f"finish_{reply}").str.to_lowercase().is_in(CUT) for reply in self.replies}

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`chosen_cut`, `rejected_cut` or `original_cut`: the first of `replies` that was."""
        return rows.with_columns(reason=first_of(*((pl.col(f"cut_{reply}"), f"{reply}_cut") for reply in self.replies)))
