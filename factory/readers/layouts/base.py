"""The contract of a pair layout: which columns it is known by, and where in them prompt and replies lie."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

Columns = Mapping[str, pl.DataType]
"""The columns of a file and their types."""


class Parts(NamedTuple):
    """Where a layout keeps a pair."""

    prompt: pl.Expr | None
    """TURNS before the replies; null in a row, or None, where the replies bring them along."""
    chosen: pl.Expr
    """Text, or TURNS when `conversations`."""
    rejected: pl.Expr
    used: frozenset[str]
    """Columns that end up in the pair; all others are the user's and follow it."""
    conversations: bool = False
    """The replies are lists of turns that may begin with the prompt."""
    unreadable: pl.Expr | None = None
    """Text that says why a row cannot be read, null where it can."""


def every_row(columns: Columns) -> pl.Expr | None:
    """For layouts that the columns alone decide."""
    return None


@dataclass(frozen=True)
class Layout:
    """One way of writing pairs down."""

    name: str
    about: str
    """Its columns, for the message about a file that fits no layout."""
    fits: Callable[[Columns], bool]
    """Whether a file with these columns may hold it."""
    parts: Callable[[Columns], Parts]
    rows: Callable[[Columns], pl.Expr | None] = every_row
    """Which rows of such a file are in it; None: all. Rows that are not go on to the next layout that fits."""
