"""`llamafactory`: alpaca rows for LLaMA-Factory's rm and dpo stages, with the dataset_info.json that names columns."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from factory.exports.base import Format, last_content, not_alternating, system, turns

COLUMNS = {
    "prompt": "instruction",
    "system": "system",
    "history": "history",
    "chosen": "chosen",
    "rejected": "rejected",
}
"""LLaMA-Factory's name of a column to ours. A column that is not listed is not read, whatever its name."""


def _history() -> pl.Expr:
    here = pl.element().struct.field("content")
    # Each turn with the next: every second of them is a round, and the last, without a next, is the question.
    steps = turns().list.eval(pl.concat_list(here, here.shift(-1)))
    return steps.list.gather_every(2).list.head(turns().list.len() // 2)


FORMAT = Format(
    name="llamafactory",
    fields={
        "instruction": last_content(),
        "system": system(),
        "history": _history(),
        "chosen": pl.col("chosen"),
        "rejected": pl.col("rejected"),
    },
    problem=not_alternating(),
    json=True,
)
"""`instruction` is the last user turn, `history` the rounds before it as [user, assistant] pairs of text."""


def dataset_info(files: Mapping[str, str]) -> dict[str, Any]:
    """The content of dataset_info.json: `sso_pairs` and `sso_pairs_test`. `files`: split to file."""
    names = {"train": "sso_pairs", "test": "sso_pairs_test"}
    return {names[split]: {"file_name": path, "ranking": True, "columns": COLUMNS} for split, path in files.items()}
