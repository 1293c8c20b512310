"""Pairs of runs, balanced in length within bins of the length difference rather than over all of them.

    python benchmarks/reward_bins.py RUN RUN --out even.parquet

What came as far as `length_balance` in each run goes into quartiles of |characters of chosen - of rejected|, and of
each is kept what `length_balance` would keep of a whole set: in none does length tell the chosen reply.
"""

import argparse
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from filters.balancing.items import BalanceItems
from filters.balancing.pairs import balance

BINS = 4
GAP = Fraction(2, 100)
"""The filter's own largest difference of the mean lengths."""


def arrived(run: Path) -> pl.DataFrame:
    """The pairs of a run that its `length_balance` saw."""
    kept, gone = (pl.read_parquet(run / "filtered" / f"{name}.parquet") for name in ("kept", "rejected"))
    return pl.concat([kept, gone.filter(pl.col("filter") == "length_balance").select(kept.columns)])


def balanced(pairs: pl.DataFrame) -> pl.DataFrame:
    """What is left of them, bin by bin."""
    pairs = pairs.sort("pair_id")
    chosen, rejected = lengths(pairs)
    order = np.argsort(np.abs(chosen - rejected), kind="stable")
    parts = [pairs[np.sort(places)] for places in np.array_split(order, BINS)]
    return pl.concat(part.filter(balance(BalanceItems.of(*lengths(part), GAP))) for part in parts)


def lengths(pairs: pl.DataFrame) -> list[NDArray[np.int64]]:
    """Characters of chosen and of rejected."""
    return [pairs[side].str.len_chars().cast(pl.Int64).to_numpy() for side in ("chosen", "rejected")]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    pairs = pl.concat([arrived(run) for run in asked.runs], how="diagonal_relaxed")
    kept = balanced(pairs)
    kept.write_parquet(asked.out)
    print(f"{kept.height} of {pairs.height}")


if __name__ == "__main__":
    main()
