"""TRL's conversational explicit layout: prompt, chosen and rejected are message lists.

Files are met in which the replies repeat the prompt; it is not doubled then.
"""

import polars as pl

from factory.readers.asked import asked
from factory.readers.explicit import explicit, prompted
from factory.readers.layouts.base import Columns, Layout, Parts


def _fits(columns: Columns) -> bool:
    found = prompted(columns, "messages")
    return found is not None and found.spoken


def _rows(columns: Columns) -> pl.Expr | None:
    found = asked(columns)
    return None if found is None else found.talked


def _parts(columns: Columns) -> Parts:
    return explicit(columns, asked(columns))


TRL_CONVERSATIONAL = Layout(
    "trl_conversational",
    "prompt (or messages, conversations, …), chosen, rejected: message lists",
    _fits,
    _parts,
    _rows,
)
