"""`dpo`: an explicit prompt with two replies, one pair per prompt."""

import polars as pl

from factory.exports.base import Format, as_reply, not_for_reply

FORMAT = Format(
    name="dpo",
    fields={
        "prompt": pl.col("prompt"),
        "chosen": as_reply("chosen"),
        "rejected": as_reply("rejected"),
    },
    problem=not_for_reply(),
    one_per_prompt=True,
)
"""`prompt`, `chosen` and `rejected` are message lists; the prompt's own system message stays."""
