"""`rm`: both conversations in full, as reward-model trainers read them. The primary format."""

import polars as pl

from factory.exports.base import Format, folded, message, not_alternating


def _conversation(reply: str) -> pl.Expr:
    return pl.concat_list(folded(), message("assistant", pl.col(reply)))


FORMAT = Format(
    name="rm",
    fields={"chosen": _conversation("chosen"), "rejected": _conversation("rejected")},
    problem=not_alternating(),
)
"""`chosen` and `rejected` are message lists that part at the last turn; no `prompt`, no system message."""
