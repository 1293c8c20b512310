"""`score_gap`: how far the scores that came with the replies are apart."""

from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar

import polars as pl
from pydantic import Field, field_validator

from filters.base import Filter, first_of

KNOWN = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("rating_chosen", "rating_rejected"),
    ("chosen_rating", "rejected_rating"),
    ("reward_chosen", "reward_rejected"),
    ("chosen_reward", "rejected_reward"),
)
"""Columns that hold the scores of chosen and rejected in published data; the first two of a pair that are filled."""


class ScoreGap(Filter):
    """Drops a pair whose score of chosen is not at least `min` above that of rejected, and says which way it fails.

    `tie`: the scores are equal; `inverted`: rejected has the higher one; `small`: the gap is below `min`; `unscored`:
    one is missing, which `keep_unscored` lets pass.
    """

    name: ClassVar[str] = "score_gap"
    reasons: ClassVar[Mapping[str, str]] = {
        "tie": "both replies have the same score",
        "inverted": "rejected has the higher score",
        "small": "chosen is ahead by less than min",
        "unscored": "a score is missing",
    }

    columns: tuple[str, ...] | None = None
    """The columns with the scores of chosen and of rejected, or one with the gap itself; null: those known by name."""
    min: float = Field(0.0, ge=0)
    """Smallest gap that is kept; 0 keeps whatever is above a tie."""
    keep_unscored: bool = False
    """Keep pairs without scores."""

    @field_validator("columns", mode="before")
    @classmethod
    def _one_or_two(cls, value: Any) -> Any:
        value = (value,) if isinstance(value, str) else value
        if isinstance(value, list | tuple) and len(value) not in (1, 2):
            raise ValueError("name two columns, the scores of chosen and of rejected, or one with the gap")
        return value

    @property
    def numbers(self) -> dict[str, bool]:
        """The score columns: those named must be there."""
        return (
            dict.fromkeys(chain.from_iterable(KNOWN), False)
            if self.columns is None
            else dict.fromkeys(self.columns, True)
        )

    def measures(self) -> dict[str, pl.Expr]:
        """The gap; null where it is not known."""
        pairs = KNOWN if self.columns is None else (self.columns,)
        return {"score_gap": pl.coalesce(_gap(*pair) for pair in pairs)}

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`unscored`, `tie`, `inverted` or `small`, the last two with the gap as detail."""
        gap = pl.col("score_gap")
        unscored = pl.lit(False) if self.keep_unscored else gap.is_null()
        reason = first_of((unscored, "unscored"), (gap == 0, "tie"), (gap < 0, "inverted"), (gap < self.min, "small"))
        # Rounded for people alone; the decision is of the whole number.
        detail = pl.when((gap != 0) & ((gap < 0) | (gap < self.min))).then(gap.round(6).cast(pl.String))
        return rows.with_columns(reason=reason, detail=detail)


def _gap(chosen: str, rejected: str | None = None) -> pl.Expr:
    # Two infinite scores of one sign are no number apart.
    return (pl.col(chosen) - pl.col(rejected)).fill_nan(None) if rejected else pl.col(chosen)
