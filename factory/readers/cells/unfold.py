"""Cells of text that hold more than a text: messages written out as JSON or as Python prints them, chat templates."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.readers.cells import repeated
from factory.readers.cells.literals import literal, written_in
from factory.readers.cells.objects import is_request
from factory.readers.cells.records import Value, by_cell, value_of
from factory.readers.cells.templates import SUSPECT, marker_in, turns_in, without_end
from factory.readers.cells.values import json_in
from factory.readers.messages import is_text, left_of, reply_turn, spoken_by
from factory.readers.names import ASKED, NAMES, REPLIES, SPOKEN, Columns, known_as
from factory.readers.reading import objects_hold
from factory.schema import MESSAGES, PAIRS

_HOLDING: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(SPOKEN | REPLIES, ("message", "messages")),
    "turns": ("messages", "texts"),
    "history": ("messages", "rounds"),
}
"""Columns in which a cell may be a list or an object, and the kinds (of records) that it may be; all else is text."""
_KEYS = "__keys"
_LEFT = "left"
"""The kind of a text that holds a marker and is left as it is."""
_OPENS = r"^\s*(?:[\[{]|(?:Assistant|SYSTEM|System|USER|User):)"
_TALK = r"""^\s*\[?\s*\{\s*['"]?(?:role|from|content|value)\b"""
_TORN = "torn"
"""The kind of a text that begins as messages written out and cannot be read as such."""
_SPEAKER = re.compile(r"^\s*Assistant:\s*(?!.*\n\nHuman:)", re.DOTALL)
_LIST = r"""^\s*\[\s*["']"""
_BESIDE_A_REPLY = frozenset(("model", "score", "rating", "rank", "generator", "role", "finish_reason"))
"""Keys that an object has which is a reply with what is known of it, and that the reply itself would hardly have."""
_SPEAKS = re.compile(r"\s*(?:SYSTEM|System|USER|User):(?!.*\n\s*Assistant:)", re.DOTALL)
"""How a prompt begins that is a dialogue nobody can part for sure, as its other speaker goes by another name."""
_TOKEN = re.compile(r"<\|\w+\|>")
_SAMPLE = 100


class Unfolded(NamedTuple):
    """Rows whose cells are of the same kinds."""

    rows: pl.LazyFrame
    remarks: tuple[str, ...] = ()
    """What was done to them, or was seen and left."""
    keys: pl.Series | None = None
    """A number for each row, the same for the same two replies, where the look at the texts gave it."""


def unfolded(frame: pl.LazyFrame, columns: Columns) -> list[Unfolded]:
    """`frame`, the texts in it that are messages as such. Rows are parted by what their cells turn out to be.

    Where no cell opens like JSON and none holds the marker of a template, which one look at the texts decides, the
    frame is left as it is. In a table of our own the texts are what they are, and are not looked at.
    """
    if {*PAIRS.columns} <= {*columns} and columns["prompt"] == MESSAGES:
        return [Unfolded(frame)]
    named, looked = columns.named, SPOKEN | REPLIES
    names = [name for name in columns if (name in looked or name in named.values()) and is_text(columns[name])]
    look = _look(frame, names, columns)
    shortened, said = repeated.without(frame, look.sides, look.seen)
    called = known_as(named)
    found, keys = look.more, look.keys if shortened is frame else None
    frame = shortened
    listed = _listed(frame, found, columns)
    if listed:
        frame, keys = frame.with_columns(by_cell(pl.col(name), _texts, "texts") for name in listed), None
        found = [name for name in found if name not in listed]
        said += (f"{' and '.join(listed)} hold lists of replies, written out",)
    if not found:
        return [Unfolded(frame, said, keys)]
    said += (*_left(frame, found, columns), *_objects(frame, found, called))
    kinds = [_kinds(name, called.get(name, name)) for name in found]
    # Kinds first, in one pass, and cells again afterwards: kinds are short, and the cells of a file would be held.
    groups = frame.select(kinds).group_by(pl.all()).len().collect(engine="streaming").sort(pl.all())
    counts = Counter[tuple[str, str]]()
    for *each, count in groups.iter_rows():
        counts.update({(name, kind): count for name, kind in zip(found, each, strict=True) if kind})
    # Of the file, not of the group: it is one to who reads this.
    said += tuple(filter(None, (_remark(*cell, count) for cell, count in sorted(counts.items()))))
    parted = []
    for row in groups.iter_rows():
        # strict=False, since the row ends with the count of the group.
        same = [kind.eq_missing(pl.lit(value, dtype=pl.String)) for kind, value in zip(kinds, row, strict=False)]
        made = [_made(name, called.get(name, name), value) for name, value in zip(found, row, strict=False) if value]
        parted.append(Unfolded(frame.filter(same).with_columns(made), said))
    return parted


def _listed(frame: pl.LazyFrame, found: Sequence[str], columns: Columns) -> list[str]:
    """Chosen and rejected, where each row has a list of replies in both that can be no reply itself.

    As Python prints lists, or with one chosen reply each beside several rejected ones.
    """
    names = [name for role in ("chosen", "rejected") if (name := columns.first(role)) in found and name is not None]
    if len(names) < 2 or not all(frame.select(pl.col(names).str.contains(_LIST).all()).collect().row(0)):
        return []
    cells = frame.select(names).collect(engine="streaming")
    lists = [[_texts(text) for text in cells[name]] for name in names]
    if any(one is None for side in lists for one in side):
        return []
    # JSON may be what was asked for, and is then the reply as it is.
    printed = any(json_in(text) is None for name in names for text in cells[name])
    return names if printed or all(one is not None and len(one) == 1 for one in lists[0]) else []


def _texts(cell: str) -> list[str] | None:
    value = written_in(cell)
    return value if isinstance(value, list) and value and all(isinstance(item, str) for item in value) else None


def _left(frame: pl.LazyFrame, found: Sequence[str], columns: Columns) -> tuple[str, ...]:
    """A remark where both replies are JSON in every row that is looked at, and are left as the texts they are."""
    names = [name for role in ("chosen", "rejected") if (name := columns.first(role)) in found and name is not None]
    if len(names) < 2:
        return ()
    cells = frame.select(names).head(_SAMPLE).drop_nulls().collect(engine="streaming")
    every = [text for name in names for text in cells[name]]
    if not all(_cell("chosen", text).kind is None and isinstance(json_in(text), dict | list) for text in every):
        return ()
    return (f"{' and '.join(names)} are lists or objects written out as JSON in every row, and read as such texts",)


def _objects(frame: pl.LazyFrame, found: Sequence[str], called: Mapping[str, str]) -> tuple[str, ...]:
    """A remark on objects, written out, that hold more than is read of them, by the first rows."""
    cells = frame.select(found).head(_SAMPLE).collect(engine="streaming")
    held: dict[tuple[str, ...], list[str]] = {}
    for name in found:
        texts = [text for text in cells[name].drop_nulls() if _cell(called.get(name, name), text).kind == "message"]
        keys = tuple(dict.fromkeys(key for text in texts for key in left_of(written_in(text))))
        held.setdefault(keys, []).append(name)
    return tuple(objects_hold(" and ".join(names), keys) for keys, names in held.items() if keys)


class _Look(NamedTuple):
    """What one pass over the texts shows."""

    seen: pl.DataFrame
    more: list[str]
    """The columns that hold a text that may be more."""
    sides: list[str]
    """The columns of the prompt and of both replies, those that are texts."""
    keys: pl.Series | None
    """A number for each pair of replies."""


def _look(frame: pl.LazyFrame, names: Sequence[str], columns: Columns) -> _Look:
    first = {role: name for role in ("prompt", "chosen", "rejected") if (name := columns.first(role)) in names and name}
    keys = [content_key(first["chosen"], first["rejected"]).alias(_KEYS)] if {"chosen", "rejected"} <= {*first} else []
    looks = [_may_be_more(pl.col(name)).alias(name) for name in names]
    seen = frame.select(*looks, *keys, *repeated.looks([*first.values()])).collect(engine="streaming")
    more = [name for name in names if seen[name].any()]
    return _Look(seen, more, [*first.values()], seen[_KEYS] if keys else None)


def _may_be_more(text: pl.Expr) -> pl.Expr:
    held = text.str.contains_any(list(SUSPECT)) | text.str.contains(_TOKEN.pattern)
    return (text.str.contains(_OPENS) | held).fill_null(value=False)


def content_key(chosen: str, rejected: str) -> pl.Expr:
    """A number for each pair of replies, the same for the same; null for what is no pair."""
    one, other = pl.col(chosen), pl.col(rejected)
    pair = (one != other) & (one.str.len_bytes() > 0) & (other.str.len_bytes() > 0)
    # Two seeds: with one the two replies in each other's place would have the same key.
    return pl.when(pair).then(one.hash(0) ^ other.hash(1))


class _Cell(NamedTuple):
    kind: str | None
    """A kind of records, for a template with a space and its marker; None: a text as it is."""
    value: Any


def _cell(name: str, text: str) -> _Cell:
    """What a cell is."""
    if re.match(_OPENS, text):
        # A text that opens with a bracket may still be a formula, code, or prose.
        found = _parsed(text)
        if found.kind in _HOLDING.get(name, ("message", "messages")):
            return _Cell(found.kind, found.value)
        if found.kind == "json" and name not in REPLIES and is_request(json_in(found.value)):
            return _Cell("odd", {"json": found.value})
        if found.kind == "json" and name in REPLIES and (told := _reply(json_in(found.value))):
            return _Cell("message", told)
        if found.kind is None and re.match(_TALK, text):
            return _Cell(_TORN, text)
    if name in REPLIES and (speaker := _SPEAKER.match(text)):
        return _Cell("text Assistant:", text[speaker.end() :])
    marker = marker_in(text)
    if marker is None:
        bare = without_end(text) if name in REPLIES else text
        if bare == text:
            seen = _SPEAKS.match(text) if name in NAMES["prompt"] else None
            left = seen[0].strip() if seen else "<|…|>" if _TOKEN.search(text) else None
            return _Cell(left and f"{_LEFT} {left}", text)
        # Of each end token a kind of its own, so that the remark can name it.
        return _Cell(f"text {text.rstrip().removeprefix(bare).strip()}", bare)
    return _templated(name, text, marker)


def _templated(name: str, text: str, marker: str) -> _Cell:
    turns = turns_in(text)
    if turns and name in REPLIES and [turn["role"] for turn in turns] == ["assistant"]:
        return _Cell(f"text {marker}", turns[0]["content"])
    if turns and (name in ASKED or len(turns) > 1):
        return _Cell(f"messages {marker}", turns)
    bare = without_end(text) if name in REPLIES else text
    left = marker_in(bare)
    return _Cell(f"text {marker}", bare) if left is None else _Cell(f"{_LEFT} {left}", text)


def _kinds(name: str, called: str) -> pl.Expr:
    return by_cell(pl.col(name), lambda text: _cell(called, text).kind, "text").alias(f"__kind_{name}")


def _made(name: str, called: str, kind: str) -> pl.Expr:
    bare = kind.split(" ", 1)[0].replace(_LEFT, "text").replace(_TORN, "text")
    return by_cell(pl.col(name), lambda text: _cell(called, text).value, bare)


def _remark(name: str, kind: str, count: int) -> str | None:
    what, _, marker = kind.partition(" ")
    if what == _TORN:
        return f"{count:,} texts in {name} begin as messages written out, and cannot be read as such: they stay texts"
    if not marker:
        return None
    if what == _LEFT:
        return f"{count:,} texts in {name} hold {marker}, as if they had been through a chat template already"
    done = "are taken apart into turns" if what == "messages" else "lose it"
    return f"{count:,} texts in {name} that carry a chat template ({marker}) {done}"


def _reply(value: Any) -> dict[str, str | None] | None:
    """The turn of an object that is a reply, by what stands beside it: without that, JSON may be the reply itself."""
    return reply_turn(value) if isinstance(value, dict) and _BESIDE_A_REPLY & value.keys() else None


def _parsed(text: str) -> Value:
    """The value that `text` writes out as JSON or as Python does."""
    try:
        raw = literal(text)
        found = value_of(raw)
    except RecursionError:
        return Value(None, None)
    # An answer in JSON may say from where to where, or a person's role.
    said = found.kind not in ("message", "messages") or any(map(spoken_by, raw if isinstance(raw, list) else [raw]))
    return found if said else Value("json", text)
