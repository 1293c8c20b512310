"""Columns called chosen that do not hold the better reply but name it: by a letter, a place, a column or a model."""

from collections.abc import Sequence

import polars as pl

from factory.readers.cells.reply_words import in_words, names_reply
from factory.readers.cells.values import json_in, json_of
from factory.readers.how import How
from factory.readers.messages import is_text
from factory.readers.names import KNOWN, LISTS, NUMBERED, Columns

_SAMPLE = 20


def pointing(frames: Sequence[pl.LazyFrame], how: How) -> How:
    """`how`, with the column chosen as what says which reply is better where it does so in all of `frames`."""
    if {"chosen", "rejected", "label"} & {*how.columns}:
        return how
    named = {name for frame in frames if (name := _pointer(frame, how))}
    # Of every shard or of none: a file of few rows may happen to hold letters alone.
    whole = len(named) == 1 and all(_pointer(frame, how) for frame in frames if named & {*frame.collect_schema()})
    return how._replace(columns={**how.columns, "label": named.pop()}) if whole else how


def _pointer(frame: pl.LazyFrame, how: How) -> str | None:
    """The column chosen of a frame that has the replies elsewhere, where it holds nothing but names of theirs."""
    columns = Columns(frame.collect_schema(), how.columns)
    name = columns.first("chosen")
    if name is None or name == "response" or not (is_text(columns[name]) or columns[name].is_integer()):
        return None
    replies = {*columns} & NUMBERED - {name}
    lists = {*columns} & {*LISTS} - {name}
    if not is_text(columns[name]):
        return name if replies or lists else None
    if _models(frame, columns, name):
        return name
    if not replies and not lists:
        return None
    called = {*map(str.lower, replies)}
    for part in (frame.head(_SAMPLE), frame):  # most files are told by their first rows
        said = part.select(pl.col(name).str.strip_chars().str.to_lowercase().unique()).collect(engine="streaming")
        # A lone letter is a tie to judges, and to anybody else a third reply.
        ties = {value: in_words(value) == 0 and len(value) > 1 for value in said.to_series().drop_nulls()}
        if all(ties.values()) or not all(tie or value in called or names_reply(value) for value, tie in ties.items()):
            return None
    return name


def _models(frame: pl.LazyFrame, columns: Columns, name: str) -> bool:
    """Whether each of the first cells names a model: one of those whose replies are beside it."""
    beside = [one for one in columns if one.startswith("model_") and is_text(columns[one])]
    may = (one for one in columns if one not in (name, *beside) and (one in LISTS or one not in KNOWN))
    lists = [one for one in may if is_text(columns[one]) or isinstance(columns[one], pl.List)]
    if not (beside or lists):
        return False
    cells = [pl.col(name), *(pl.col(one) for one in beside), *(json_of(one, columns[one]).alias(one) for one in lists)]
    # A few rows prove it: a reply is not by chance the name of a model beside it.
    rows = frame.head(_SAMPLE).select(cells).drop_nulls(name).unique(name).collect()
    found = []
    for value, *others in rows.iter_rows():
        texts = [text for text in others[len(beside) :] if text and text.lstrip().startswith("[")]
        items = [item for text in texts for item in json_in(text) or [] if isinstance(item, dict)]
        found.append(value in {*others[: len(beside)], *(str(item.get("model")) for item in items)})
    return bool(found) and all(found)
