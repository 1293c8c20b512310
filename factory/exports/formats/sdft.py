"""`sdft`: prompts with the good system message as what the teacher alone is told, for TRL's SDFTTrainer."""

import polars as pl

from factory.exports.base import Format, not_for_reply

_UNSTEERED = pl.when(pl.col("system_good").is_null()).then(pl.lit("no system message steered the chosen reply"))

FORMAT = Format(
    name="sdft",
    fields={"prompt": pl.col("prompt"), "privileged_context": pl.col("system_good")},
    problem=pl.coalesce(not_for_reply(), _UNSTEERED),
)
"""`prompt` is a message list, `privileged_context` the text of system_good; the replies are left to the trainer."""
