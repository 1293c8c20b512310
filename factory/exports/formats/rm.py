"""`rm`: both conversations in full, as reward-model trainers read them. The primary format."""

import polars as pl

from factory.exports.base import Format, as_reply, folded, not_alternating


def _conversations(prompt: pl.Expr) -> dict[str, pl.Expr]:
    # No `prompt` column: TRL would put it before conversations that hold it already.
    return {reply: pl.concat_list(prompt, as_reply(reply)) for reply in ("chosen", "rejected")}


FORMAT = Format(
    name="rm",
    fields=_conversations(folded()),
    system_kept=_conversations(pl.col("prompt")),
    problem=not_alternating(),
)
"""`chosen` and `rejected` are message lists that part at the last turn; no `prompt`, no system message
unless it is to be kept."""
