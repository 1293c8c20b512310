"""`kto`: a row per reply, marked as wanted or not, as TRL's KTOTrainer reads it."""

import polars as pl

from factory.exports.base import Format, message, not_for_reply

# A list with a value per row, which the writer takes apart: a format is expressions over one pair.
_REPLIES = pl.concat_list(message("assistant", pl.col("chosen")), message("assistant", pl.col("rejected")))

FORMAT = Format(
    name="kto",
    fields={
        "prompt": pl.col("prompt"),
        "completion": _REPLIES.list.eval(pl.concat_list(pl.element())),
        "label": pl.concat_list(pl.lit(value=True), pl.lit(value=False)),
    },
    problem=not_for_reply(),
    apart=("completion", "label"),
)
"""`prompt` and `completion` are message lists, `label` is true for a chosen reply; a pair makes two rows."""
