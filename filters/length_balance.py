"""`length_balance`: neither side may be given away by its length."""

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar

import polars as pl
from pydantic import Field

from filters.balancing.items import BalanceItems
from filters.balancing.pairs import balance
from filters.base import ROW, Filter, first_of
from filters.hash_draw import hash_draw_expr
from filters.length_gap import lengths

_FINEST = 10**6
"""Largest denominator of `max_mean_gap`, so that sums over ten million pairs stay exact in 64 bits."""


class LengthBalance(Filter):
    """Keeps as many pairs as possible so that length says nothing about which reply is chosen.

    Kept pairs with the longer chosen and with the shorter chosen are equal in number (±1; equal lengths count on
    neither side), and the mean lengths in characters differ by at most `max_mean_gap` of the smaller one.
    """

    name: ClassVar[str] = "length_balance"
    reasons: ClassVar[Mapping[str, str]] = {
        "chosen_longer": "pairs whose chosen is longer were too many",
        "rejected_longer": "pairs whose rejected is longer were too many",
        "same_prompt": "another pair of its prompt is kept",
    }

    max_mean_gap: float = Field(0.02, ge=0, le=1)
    """Largest relative difference of the mean lengths of chosen and rejected."""
    one_per_prompt: bool = False
    """Keep at most one pair of each prompt, the one that helps the balance."""

    def measures(self) -> dict[str, pl.Expr]:
        """Characters of each reply."""
        return lengths()

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`chosen_longer` or `rejected_longer`, the side that had too many; `same_prompt` beside a kept pair.

        Which of interchangeable pairs are kept follows from their ids.
        """
        wanted = ["prompt_id"] if self.one_per_prompt else []
        chars = [pl.col(f"chars_{reply}").cast(pl.Int64) for reply in ("chosen", "rejected")]
        table = rows.select(ROW, "pair_id", *wanted, *chars, toss=hash_draw_expr("length balance"))
        # Sorted by draw: where pairs are interchangeable the first ones are taken, which must not be those that came
        # first.
        frame = table.sort("toss", "pair_id", ROW).collect()
        # Through the text: the float 0.02 is not two hundredths, and the bound is to be met exactly.
        gap = Fraction(str(self.max_mean_gap)).limit_denominator(_FINEST)
        items = BalanceItems.of(frame["chars_chosen"].to_numpy(), frame["chars_rejected"].to_numpy(), gap)
        if self.one_per_prompt:
            from filters.balancing.prompts import balance_prompts

            # Numbers in the order of the ids, whatever that of the rows.
            prompts = frame["prompt_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
            kept = balance_prompts(items, prompts, frame["toss"].to_numpy() / 2.0**64)
        else:
            kept = balance(items)
        return rows.join(self._verdict(frame, pl.Series(kept)).lazy(), on=ROW, how="left")

    def _verdict(self, frame: pl.DataFrame, kept: pl.Series) -> pl.DataFrame:
        longer = pl.col("chars_chosen") > pl.col("chars_rejected")
        reason = first_of((longer, "chosen_longer"), (~longer, "rejected_longer"))
        if self.one_per_prompt:
            beside = pl.col("kept").any().over("prompt_id")
            reason = pl.coalesce(first_of((beside, "same_prompt")), reason)
        return frame.with_columns(kept=kept).select(ROW, reason=pl.when(~pl.col("kept")).then(reason))
