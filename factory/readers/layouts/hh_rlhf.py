r"""hh-rlhf: two whole dialogues as texts, `\n\nHuman: …\n\nAssistant: …`, that differ in their last turn."""

import polars as pl

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import is_text
from factory.readers.transcripts import is_transcript, turns


def _fits(columns: Columns) -> bool:
    return is_text(columns.get("chosen")) and is_text(columns.get("rejected"))


def _rows(columns: Columns) -> pl.Expr:
    return is_transcript(pl.col("chosen")) & is_transcript(pl.col("rejected"))


def _parts(columns: Columns) -> Parts:
    used = frozenset({"chosen", "rejected", "prompt", "question"} & set(columns))
    return Parts(None, turns(pl.col("chosen")), turns(pl.col("rejected")), used, conversations=True)


HH_RLHF = Layout("hh_rlhf", r"chosen, rejected: transcripts (\n\nHuman: …\n\nAssistant: …)", _fits, _parts, _rows)
