"""A conversation that ends with the chosen reply, and the rejected one beside it, as ms-swift has it."""

import polars as pl

from factory.readers.columns.asked import kind_of, reply, talks
from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import before_last, joined, roles_of, said, turns_of


def _fits(columns: Columns) -> bool:
    rejected = columns.first("rejected")
    kind = None if rejected is None else kind_of(columns[rejected])
    return kind in ("text", "message", "messages") and columns.first("chosen") is None and bool(talks(columns))


def _parts(columns: Columns) -> Parts:
    rejected, (talk, *_) = columns.first("rejected"), talks(columns)
    assert rejected is not None
    turns, other = turns_of(talk, columns[talk]), reply(columns, rejected)
    kind = kind_of(columns[rejected])
    if kind != "messages":
        answer = said("assistant", other) if kind == "text" else other
        other = pl.when(other.is_not_null()).then(joined(before_last(turns), answer))
    else:  # the reply alone, or below the conversation again
        alone = roles_of(other) == "assistant"
        other = pl.when(alone).then(joined(before_last(turns), other)).otherwise(other)
    used = {"prompt": (talk,), "chosen": (talk,), "rejected": (rejected,)}
    return Parts(None, turns, other, used, conversations=True)


ENDING = Layout(
    "ending",
    "messages (or conversations, …): message list that ends with the chosen reply; rejected_response, rejected: text "
    "or message, or rejected_messages: message list",
    _fits,
    _parts,
)
