"""`logprob_mean`: the pairs that are more on-policy, or further steered, than those beside them are on average."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl

from factory.schema import logp_column
from filters.base import Filter, among, first_of, sided
from filters.logprob_order import number

_OTHER = {"chosen": ("good", "bad"), "rejected": ("bad", "good")}
"""The view that a reply was written under, and the contrary one."""


class LogprobMean(Filter):
    """Keeps pairs both of whose replies reach the mean, over the pairs that earlier filters left, of a log-probability.

    of on_policy: pi~(y|x), how likely a reply is without a principle; what lies below the mean goes. of gap: pi~(y|own
    principle) - pi~(y|contrary principle), how much a reply owes to its principle; what is not above the mean goes. A
    pair without scores is dropped as `unscored`. With logprob_order before them, the two in this order are the filter
    of the authors' code, the preset `authors_logprobs`.
    """

    name: ClassVar[str] = "logprob_mean"
    reasons: ClassVar[Mapping[str, str]] = {
        **sided("off_policy", "is less likely without a principle than such replies are on average"),
        **sided("small_gap", "owes no more to its principle than such replies do on average"),
        "unscored": "a log-probability is missing",
    }

    of: Literal["on_policy", "gap"] = "on_policy"
    """What is compared with its mean."""

    def measures(self) -> dict[str, pl.Expr]:
        """Per reply the number that is compared; null where a log-probability is missing or infinite."""
        return {f"{self.of}_{reply}": self._measure(reply) for reply in _OTHER}

    def _measure(self, reply: str) -> pl.Expr:
        own, contrary = (number(logp_column(reply, view)) for view in _OTHER[reply])
        value = number(logp_column(reply, "plain")) if self.of == "on_policy" else own - contrary
        return pl.when(value.is_finite()).then(value)

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`unscored`, or per side `off_policy` or `small_gap`."""
        columns = {reply: pl.col(f"{self.of}_{reply}") for reply in _OTHER}
        unscored = pl.any_horizontal(column.is_null() for column in columns.values())
        # The mean is of the scored pairs: the others are none of those that a reply is compared with.
        low = {reply: self._low(pl.when(~unscored).then(column)) for reply, column in columns.items()}
        below = among(low, "off_policy" if self.of == "on_policy" else "small_gap")
        return rows.with_columns(reason=pl.coalesce(first_of((unscored, "unscored")), below))

    def _low(self, value: pl.Expr) -> pl.Expr:
        # Measured from the smallest and summed in order, so that neither equal numbers nor the rows' order decide.
        above = value - value.min()
        mean = above.sort().mean()
        return above < mean if self.of == "on_policy" else above <= mean
