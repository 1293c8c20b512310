"""`tpo`: `dpo` with a reference reply to imitate, for TRL's TPOTrainer; all pairs of a prompt."""

import polars as pl

from factory.exports.base import Format, message, not_for_reply

_CHOSEN = pl.concat_list(message("assistant", pl.col("chosen")))
FORMAT = Format(
    name="tpo",
    fields={
        "prompt": pl.col("prompt"),
        "chosen": _CHOSEN,
        "rejected": pl.concat_list(message("assistant", pl.col("rejected"))),
        "reference": _CHOSEN,
    },
    problem=not_for_reply(),
)
"""`reference` is the reply whose likelihood TPO raises: the chosen one, the best that is known of a prompt. y° is what
the policy says anyway."""
