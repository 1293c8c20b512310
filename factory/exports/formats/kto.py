"""`kto`: a row per reply, marked as wanted or not, as TRL's KTOTrainer reads it."""

import polars as pl

from factory.exports.base import Format, as_reply, not_for_reply

FORMAT = Format(
    name="kto",
    fields={
        "prompt": pl.col("prompt"),
        # A list with a value per row, which the writer takes apart: a format is expressions over one pair. concat_list
        # joins lists to one, so that each message gets a list of its own again.
        "completion": pl.concat_list(map(as_reply, ("chosen", "rejected"))).list.eval(pl.concat_list(pl.element())),
        "label": pl.concat_list(pl.lit(value=True), pl.lit(value=False)),
    },
    problem=not_for_reply(),
    apart=("completion", "label"),
)
"""`prompt` and `completion` are message lists, `label` is true for a chosen reply; a pair makes two rows."""
