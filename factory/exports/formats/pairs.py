"""`pairs`: the whole table, for polars, datasets and DuckDB."""

import polars as pl

from factory.exports.base import Format, no_problem
from factory.schema import PAIRS

FORMAT = Format(name="pairs", fields={name: pl.col(name) for name in PAIRS.columns}, problem=no_problem())
"""Every column of PAIRS in its order, then log-probabilities and the user's own."""
