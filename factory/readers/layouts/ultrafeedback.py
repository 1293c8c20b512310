"""UltraFeedback-binarized: the prompt as a text, chosen and rejected as whole conversations."""

import polars as pl

from factory.readers.asked import asked
from factory.readers.explicit import explicit, prompted
from factory.readers.layouts.base import Columns, Layout, Parts


def _fits(columns: Columns) -> bool:
    return prompted(columns, "messages") is not None


def _rows(columns: Columns) -> pl.Expr | None:
    found = asked(columns)
    return None if found is None else found.given


def _parts(columns: Columns) -> Parts:
    return explicit(columns, asked(columns))


ULTRAFEEDBACK = Layout(
    "ultrafeedback", "prompt (or question, instruction, …): text; chosen, rejected: message lists", _fits, _parts, _rows
)
