"""`degenerate`: pairs that hold no preference, because a reply is empty or two replies are the same."""

from collections.abc import Mapping
from typing import ClassVar

import polars as pl

from filters.base import Filter, first_of
from filters.text import normalised


class Degenerate(Filter):
    """Drops a pair with an empty reply or with two of its three replies equal, spacing and Unicode spelling aside.

    A missing original is neither empty nor equal to anything.
    """

    name: ClassVar[str] = "degenerate"
    reasons: ClassVar[Mapping[str, str]] = {
        "empty_chosen": "the chosen reply is empty",
        "empty_rejected": "the rejected reply is empty",
        "empty_original": "the original reply is empty",
        "identical": "chosen and rejected say the same",
        "original_is_chosen": "the original reply says what chosen says",
        "original_is_rejected": "the original reply says what rejected says",
    }

    def measures(self) -> dict[str, pl.Expr]:
        """The reason itself: it depends on one row alone."""
        chosen, rejected, original = (normalised(pl.col(reply)) for reply in ("chosen", "rejected", "original"))
        # A missing original makes its comparisons null, and a null condition does not hold.
        found = first_of(
            (chosen.fill_null("") == "", "empty_chosen"),
            (rejected.fill_null("") == "", "empty_rejected"),
            (original == "", "empty_original"),
            (chosen == rejected, "identical"),
            (original == chosen, "original_is_chosen"),
            (original == rejected, "original_is_rejected"),
        )
        return {"degenerate": found}

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`empty_…`, `identical` or `original_is_…`."""
        return rows.with_columns(reason=pl.col("degenerate"))
