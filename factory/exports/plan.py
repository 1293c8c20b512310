"""What will be written, from a narrow pass over the pairs: which rows, which prompts are held out, how many of each."""

from typing import NamedTuple

import polars as pl

from factory.exports.base import PROBLEM, Format
from factory.identity import draw

ROW = "__row"
SPLITS = ("train", "test")


class Plan(NamedTuple):
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


def plan(pairs: pl.LazyFrame, target: Format, test_share: float, seed: int) -> Plan:
    """Decide the rows of every split. The same prompts are held out in every format, whatever else is in the table."""
    wanted = ["prompt_id", *(["iteration", "pair_id"] if target.one_per_prompt else [])]
    narrow = pairs.with_row_index(ROW).select(ROW, *wanted, target.problem.alias(PROBLEM)).collect(engine="streaming")
    usable = narrow.filter(pl.col(PROBLEM).is_null()).drop(PROBLEM)
    left_out = narrow.filter(pl.col(PROBLEM).is_not_null())[PROBLEM].value_counts().sort(PROBLEM)
    kept = _one_per_prompt(usable) if target.one_per_prompt else usable
    held = held_out(kept["prompt_id"], test_share, seed)
    rows = kept.select(ROW, pl.col("prompt_id").is_in(held.implode()).alias("test")).sort(ROW)
    tests = int(rows["test"].sum())
    counts = {name: n for name, n in zip(SPLITS, (rows.height - tests, tests), strict=True) if n}
    return Plan(rows, counts, dict(left_out.iter_rows()), usable.height - kept.height)


def _one_per_prompt(rows: pl.DataFrame) -> pl.DataFrame:
    order = rows.sort("iteration", "pair_id", ROW, descending=[True, False, False], nulls_last=True)
    return order.unique("prompt_id", keep="first", maintain_order=True)


def held_out(prompt_ids: pl.Series, share: float, seed: int) -> pl.Series:
    """The prompts of the test split: those whose draw falls below `share`; at least one prompt is left to train on."""
    ids = prompt_ids.unique().sort()
    draws = pl.Series("draw", [draw(seed, "split", name) for name in ids], dtype=pl.Int64)
    test = draws < int(share * 2**63)
    if len(ids) and test.all():
        test &= draws != draws.max()
    return ids.filter(test)
