"""`margin`: how far the chosen reply must be ahead of the rejected one."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl

from factory.schema import logp_column
from filters import votes
from filters.base import Filter, first_of
from filters.logprob_order import number


class Margin(Filter):
    """Drops a pair whose margin is below `min`, and as `unknown` one that has none.

    by votes: 2p - 1, from -1 to 1, with p the mean probability that judges gave to chosen (over each judge's orders,
    then over judges). by logprobs: [pi~(y+|x+) - pi~(y+|x-)] - [pi~(y-|x+) - pi~(y-|x-)], how much more the good
    principle speaks for chosen than for rejected, in log-probability per token (eq. 4).
    """

    name: ClassVar[str] = "margin"
    reasons: ClassVar[Mapping[str, str]] = {
        "small": "its margin, the detail, is below min",
        "unknown": "it has no margin: votes without probabilities, or no scores",
    }

    by: Literal["votes", "logprobs"] = "votes"
    """What the margin is measured by. Votes need judges that give identifier log-probabilities."""
    min: float = 0.0
    """Smallest margin that is kept."""

    @property
    def needs_votes(self) -> bool:
        """When measured by them."""
        return self.by == "votes"

    def measures(self) -> dict[str, pl.Expr]:
        """The margin by log-probabilities."""
        if self.by == "votes":
            return {}
        chosen, rejected = (
            number(logp_column(reply, "good")) - number(logp_column(reply, "bad")) for reply in ("chosen", "rejected")
        )
        return {"margin": (chosen - rejected).fill_nan(None)}

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`small` with the margin as detail, or `unknown`."""
        if self.by == "votes":
            judges = votes.judges_joined(rows.collect_schema().names())
            rows = rows.with_columns(margin=2 * votes.mean_p_chosen(judges) - 1)
        margin = pl.col("margin")
        # Missing before small: a null margin is not below anything.
        reason = first_of((margin.is_null(), "unknown"), (margin < self.min, "small"))
        detail = pl.when(margin < self.min).then(margin.round(4).cast(pl.String))
        return rows.with_columns(reason=reason, detail=detail)
