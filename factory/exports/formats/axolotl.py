"""`axolotl`: strings for axolotl's `bradley_terry.chat_template`, which knows one user turn."""

import polars as pl

from factory.exports.base import Format, last_content, not_alternating, system, turns


def _several_turns() -> pl.Expr:
    several = turns().list.len() > 1
    # The first reason that holds: of turns that do not alternate the other says nothing.
    return pl.coalesce(not_alternating(), pl.when(several).then(pl.lit("more than one user turn")))


FORMAT = Format(
    name="axolotl",
    fields={
        "system": system(),
        "input": last_content(),
        "chosen": pl.col("chosen"),
        "rejected": pl.col("rejected"),
    },
    problem=_several_turns(),
)
"""`system` is empty where the prompt has none. Conversations of several turns cannot be written and are left out."""
