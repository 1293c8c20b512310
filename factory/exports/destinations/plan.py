"""What will be written, from a narrow pass over the pairs: which rows, which prompts are held out, how many of each."""

from fractions import Fraction
from typing import NamedTuple

import polars as pl

from factory.config import Export
from factory.exports.base import PROBLEM, Format
from factory.identity import draw
from filters.balancing.items import BalanceItems
from filters.hash_draw import hash_draw_expr

ROW = "__row"
MEAN_GAP = Fraction(1, 50)
"""Relative difference of the mean lengths within which they count as level: the default of `length_balance`."""
SPLITS = ("train", "test")


class ExportPlan(NamedTuple):
    """Rows to write and their split."""

    rows: pl.DataFrame
    """`__row` (position among the pairs) and `test` (bool), ascending in `__row`."""
    counts: dict[str, int]
    """Rows in each split that has any."""
    left_out: dict[str, int]
    """Reason to number of pairs that the format cannot hold."""
    set_aside: int
    """Pairs beyond the one that a one-per-prompt format keeps."""

    def between(self, start: int, end: int) -> pl.DataFrame:
        """The rows whose position lies in [start, end)."""
        low, high = (int(self.rows[ROW].search_sorted(at)) for at in (start, end))
        return self.rows.slice(low, high - low)


def plan(pairs: pl.LazyFrame, target: Format, config: Export, seed: int) -> ExportPlan:
    """Decide the rows of every split. The same prompts are held out in every format, whatever else is in the table."""
    one = target.one_per_prompt if config.one_per_prompt is None else config.one_per_prompt
    # Signed: the difference of two of polars' own lengths, which are not, would wrap around.
    lengths = [pl.col(reply).str.len_chars().cast(pl.Int64) for reply in ("chosen", "rejected")]
    wanted = [pl.col("prompt_id"), *([pl.col("pair_id"), *lengths] if one else [])]
    narrow = pairs.with_row_index(ROW).select(ROW, *wanted, target.problem.alias(PROBLEM)).collect(engine="streaming")
    usable = narrow.filter(pl.col(PROBLEM).is_null()).drop(PROBLEM)
    # Sorted, as value_counts gives them in any order.
    left_out = narrow.filter(pl.col(PROBLEM).is_not_null())[PROBLEM].value_counts().sort(PROBLEM)
    kept = _one_per_prompt(usable) if one else usable
    held = held_out(kept["prompt_id"], config.test_share, seed)
    # implode: of a bare Series polars cannot tell whether it is a set or has a value for each row.
    rows = kept.select(ROW, pl.col("prompt_id").is_in(held.implode()).alias("test")).sort(ROW)
    tests = int(rows["test"].sum())
    counts = {name: n for name, n in zip(SPLITS, (rows.height - tests, tests), strict=True) if n}
    return ExportPlan(rows, counts, dict(left_out.iter_rows()), usable.height - kept.height)


def _one_per_prompt(rows: pl.DataFrame) -> pl.DataFrame:
    """A pair of each prompt, by the rule of the length balance, whatever the order of the rows."""
    if rows["prompt_id"].n_unique() == rows.height:
        return rows
    from filters.balancing.prompts import one_each

    # The row number last: of two rows with one pair_id either may be kept, but in every run the same.
    table = rows.with_columns(toss=hash_draw_expr("length balance")).sort("toss", "pair_id", ROW)
    # Numbers in place of ids, as the balance counts in arrays.
    prompts = table["prompt_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    items = BalanceItems.of(table["chosen"].to_numpy(), table["rejected"].to_numpy(), MEAN_GAP)
    # Tosses are whole numbers of 64 bits; the balance takes fractions of one.
    return table.filter(pl.Series(one_each(items, prompts, table["toss"].to_numpy() / 2.0**64)))


def held_out(prompt_ids: pl.Series, share: float, seed: int) -> pl.Series:
    """The prompts of the test split: those whose draw falls below `share`; at least one prompt is left to train on."""
    ids = prompt_ids.unique().sort()
    draws = pl.Series("draw", [draw(seed, "split", name) for name in ids], dtype=pl.Int64)
    # A draw is a whole number below 2**63; the share is compared as one, so that no rounding moves a prompt.
    test = draws < int(share * 2**63)
    if len(ids) and test.all():
        test &= draws != draws.max()
    return ids.filter(test)
