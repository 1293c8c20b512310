"""The contract of a pair layout: which columns it is known by, and where in them prompt and replies lie."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from factory.readers.how import How
from factory.readers.names import Columns

__all__ = ["Columns", "How", "Layout", "Parts", "Reshaped", "every_row"]

UNREADABLE, TIE, ALONE = "unreadable", "tie", "alone"
"""Reasons of rows that say no pair: not to be made out, of equal replies, without another reply to the prompt."""
_FOLLOWING = ("score",)
"""Roles whose columns follow the pair all the same: what they say is more than which reply is better."""


class Reshaped(NamedTuple):
    """The rows of a file made into one row per pair."""

    rows: pl.LazyFrame
    """The columns there were, and further ones whose names begin with two underscores."""
    remarks: tuple[str, ...] = ()


class Parts(NamedTuple):
    """Where a layout keeps a pair."""

    prompt: pl.Expr | None
    """TURNS before the replies; null in a row, or None, where the replies bring them along."""
    chosen: pl.Expr
    """Text, or TURNS when `conversations`."""
    rejected: pl.Expr
    columns: Mapping[str, tuple[str, ...]]
    """Role to the columns that end up in it; all others are the user's and follow the pair."""
    conversations: bool = False
    """The replies are lists of turns that may begin with the prompt."""
    aside: tuple[tuple[str, pl.Expr], ...] = ()
    """Reasons to set a row aside, each with a text that says why, null where it does not apply."""

    under: str | None = None
    """The column with a system message that is not part of `prompt` yet."""

    @property
    def used(self) -> frozenset[str]:
        """Columns that end up in the pair."""
        return frozenset(name for role, names in self.columns.items() if role not in _FOLLOWING for name in names)


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
    reshape: Callable[[pl.LazyFrame, Columns, How], Reshaped] | None = None
    """Makes rows of pairs of the rows of a file; `parts` is then asked of those."""
    rest: bool = False
    """It also takes the rows that no layout claims: their prompt is empty."""
    most: bool = False
    """It claims rows only where they are most of those that are left: too few of them are there by chance."""
    remark: str = ""
    """What is said of the rows it reads, `{}` being their number."""
