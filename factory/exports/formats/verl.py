"""`verl`: texts for verl's reward-model data set, which puts a reply's tokens right behind those of its prompt."""

import polars as pl

from factory.exports.base import Format, as_text, not_alternating

FORMAT = Format(
    name="verl",
    fields={"prompt": as_text(), "chosen": pl.col("chosen"), "rejected": pl.col("rejected")},
    problem=not_alternating(),
)
"""`prompt` is a single user turn as it is; a system message or several turns make it a transcript as in hh-rlhf."""
