"""`logprob_order`: the model itself must find the replies as likely as their principles say."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl

from factory.schema import logp_column
from filters.base import Filter, among, first_of, sided

_RISING = {"chosen": ("bad", "plain", "good"), "rejected": ("good", "plain", "bad")}
"""Views under which a reply should become likelier from left to right."""


class LogprobOrder(Filter):
    """Keeps pairs whose chosen is likelier under good than plain than bad, and whose rejected is the other way round.

    A pair without scores proves nothing and is dropped as `unscored`, unless `keep_unscored`.
    """

    name: ClassVar[str] = "logprob_order"
    reasons: ClassVar[Mapping[str, str]] = {
        **sided("order", "is not as likely under the views as its principles say"),
        "unscored": "a log-probability is missing",
    }

    replies: tuple[Literal["chosen", "rejected"], ...] = ("chosen", "rejected")
    """Replies whose order is looked at."""
    keep_unscored: bool = False
    """Keep pairs that lack one of the log-probabilities."""

    def measures(self) -> dict[str, pl.Expr]:
        """Per reply, whether its log-probabilities rise strictly along its views; null where one is missing."""
        return {f"rises_{reply}": _rises(reply) for reply in self.replies}

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`unscored`, `chosen_order`, `rejected_order` or `both_order`."""
        rises = {reply: pl.col(f"rises_{reply}") for reply in self.replies}
        order = among({reply: ~rising for reply, rising in rises.items()}, "order")
        if self.keep_unscored:
            return rows.with_columns(reason=order)
        unscored = pl.any_horizontal(rising.is_null() for rising in rises.values())
        return rows.with_columns(reason=pl.coalesce(first_of((unscored, "unscored")), order))


def _rises(reply: str) -> pl.Expr:
    low, middle, high = (number(logp_column(reply, view)) for view in _RISING[reply])
    scored = low.is_not_null() & middle.is_not_null() & high.is_not_null()
    # Null, not false, without a score: it is another reason.
    return pl.when(scored).then((low < middle) & (middle < high))


def number(column: str) -> pl.Expr:
    """A float column in which NaN is missing: polars would call it the largest number."""
    return pl.col(column).fill_nan(None)
