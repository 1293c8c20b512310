"""The contract of a filter: measure each row once, then decide on the measures alone.

A filter is a frozen configuration block with two methods. `measures` are row-wise expressions over the pair columns;
all filters' measures are computed together in one streaming pass over the texts. `reason` then works on the narrow
table of measures, among the rows that earlier filters kept, and so may look at other rows (duplicates, balance).
"""

from typing import ClassVar

import polars as pl

from factory.strict import Strict


class Filter(Strict):
    """One filter; its fields are its options in `{use: name, …}`."""

    needs_votes: ClassVar[bool] = False
    """True where `reason` reads the columns that `filters.votes` joins."""

    def measures(self) -> dict[str, pl.Expr]:
        """Row-wise expressions over PAIRS columns that `reason` reads, by name; pair_id and prompt_id are always there."""
        raise NotImplementedError

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`rows` (one per live pair) with a column `reason`: null keeps the pair, a short token drops it.

        May also set `detail`, free text that says what exactly. Never changes the number of rows.
        """
        raise NotImplementedError
