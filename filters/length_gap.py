"""`length_gap`: replies whose lengths are too far apart."""

from collections.abc import Mapping
from typing import ClassVar

import polars as pl
from pydantic import Field

from filters.base import Filter, first_of


class LengthGap(Filter):
    """Drops a pair when |len(chosen) - len(rejected)|, in characters, is over `max_chars`."""

    name: ClassVar[str] = "length_gap"
    reasons: ClassVar[Mapping[str, str]] = {
        "gap": "one reply is longer than the other by more than the option allows",
    }

    max_chars: int = Field(3000, ge=0)
    """Largest difference that is kept, characters; 3000 in the paper."""

    def measures(self) -> dict[str, pl.Expr]:
        """Characters of each reply."""
        return lengths()

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`gap`, with the difference as detail."""
        # Lengths are unsigned in polars: a shorter chosen would be four thousand million longer.
        gap = pl.col("chars_chosen").cast(pl.Int64) - pl.col("chars_rejected").cast(pl.Int64)
        over = gap.abs() > self.max_chars
        detail = pl.when(over).then(pl.concat_str(gap.abs(), pl.lit(" characters")))
        return rows.with_columns(reason=first_of((over, "gap")), detail=detail)


def lengths() -> dict[str, pl.Expr]:
    """The measures `chars_chosen` and `chars_rejected`: characters (code points, not bytes) of each reply."""
    return {f"chars_{reply}": pl.col(reply).str.len_chars() for reply in ("chosen", "rejected")}
