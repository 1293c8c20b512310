"""Trees of messages, as OpenAssistant's: a message a row, whose answers the users ranked, the best as 0.

The rows are brought together in memory, since those of one tree may be anywhere in a file.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from factory.readers.inputs.opened import UnclearError
from factory.readers.layouts.base import ALONE, Columns, How, Layout, Parts, Reshaped
from factory.readers.layouts.ranking import Candidate, CandidatePair, made_parts, one_row_each, pairs_of
from factory.readers.messages import is_text, turn

NEEDED = ("message_id", "parent_id", "role", "text")
"""Columns of messages that form trees: the roots, which have no parent, are prompts."""
_ANSWERS = ("assistant", "gpt", "bot")
_ALONE = CandidatePair(reason=ALONE, detail="no pair is made of it: no two answers to a message rank differently")
_Message = Mapping[str, Any]


def _fits(columns: Columns) -> bool:
    # A CSV file has its numbers as texts.
    ranked = "rank" in columns and (columns["rank"].is_numeric() or is_text(columns["rank"]))
    return ranked and all(is_text(columns.get(name)) for name in NEEDED)


def _reshape(frame: pl.LazyFrame, columns: Columns, how: How) -> Reshaped:
    """One row per pair, that of its chosen reply, and one per message that no pair is made of."""
    rows = frame.collect()
    messages = rows.select(*NEEDED, pl.col("rank").cast(pl.Float64, strict=False)).to_dicts()
    known = {message["message_id"]: message for message in messages}
    if len(known) < len(messages):
        raise UnclearError("several rows have the same message_id, or none; give each message its own")
    answers: dict[str, list[int]] = {}
    for place, message in enumerate(messages):
        if (message["role"] or "").lower() in _ANSWERS and message["parent_id"] in known:
            answers.setdefault(message["parent_id"], []).append(place)
    made: list[tuple[int, CandidatePair]] = []
    used: set[Any] = set()
    for parent, group in answers.items():
        ranked = [place for place in group if messages[place]["rank"] is not None]
        path = _path(parent, known)
        pairs = _pairs(ranked, messages, path, how.pairs)
        made += pairs
        if pairs:
            used.update([messages[place]["message_id"] for place in ranked] + [one["message_id"] for one in path])
    made += [(place, _ALONE) for place, message in enumerate(messages) if message["message_id"] not in used]
    return Reshaped(one_row_each(rows, made).lazy(), ("answers are told apart by rank: the lower the better",))


def _pairs(
    group: Sequence[int], messages: Sequence[_Message], path: Sequence[_Message], pairing: str
) -> list[tuple[int, CandidatePair]]:
    """The pairs of the ranked answers to one message, none where they rank alike; each with the chosen one's row."""
    asked = [_turn(message) for message in path]
    # Ranks from 0, the best: negated, so that the higher is the better as in every list of candidates.
    told = [Candidate([*asked, _turn(messages[place])], -float(messages[place]["rank"])) for place in group]
    # By identity, as two answers may be the same to the letter.
    places = {id(one.turns): place for one, place in zip(told, group, strict=True)}
    return [(places[id(one.chosen.turns)], one) for one in pairs_of(told, pairing) if one.chosen]


def _turn(message: _Message) -> dict[str, str | None]:
    return turn({"role": message["role"], "content": message["text"]})


def _path(message_id: str | None, known: Mapping[str, _Message]) -> list[_Message]:
    """The messages from the root to one; none where its ancestors are not all there, or run in a circle."""
    found: list[_Message] = []
    while message_id is not None:
        message = known.get(message_id)
        # Longer than all messages: the parents run in a circle.
        if message is None or len(found) > len(known):
            return []
        found.append(message)
        message_id = message["parent_id"]
    return found[::-1]


def _parts(columns: Columns) -> Parts:
    roles = {"prompt": NEEDED, "chosen": ("text",), "rejected": ("text",), "score": ("rank",)}
    return made_parts(None, roles)


TREES = Layout(
    "trees",
    "message_id, parent_id, role, text: a message a row, and rank: the answers to a message, the best as 0",
    _fits,
    _parts,
    reshape=_reshape,
)
