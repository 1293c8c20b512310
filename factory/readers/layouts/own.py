"""Our own pairs table, and any other with a message list as prompt and texts as replies."""

import polars as pl

from factory.readers.asked import asked
from factory.readers.explicit import explicit, prompted
from factory.readers.layouts.base import Columns, Layout, Parts


def _fits(columns: Columns) -> bool:
    found = prompted(columns, "text")
    return found is not None and found.spoken


def _rows(columns: Columns) -> pl.Expr | None:
    found = asked(columns)
    return None if found is None else found.talked


def _parts(columns: Columns) -> Parts:
    return explicit(columns, asked(columns))


OWN = Layout(
    "pairs",
    "prompt (or messages, conversations, trajectory, …): message list; chosen, rejected: text",
    _fits,
    _parts,
    _rows,
    rest=True,
)
