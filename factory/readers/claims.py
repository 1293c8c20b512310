"""Which layout reads which rows of a frame."""

import re
from typing import NamedTuple

import polars as pl

from factory.errors import InputError
from factory.readers.how import RENAMED, How
from factory.readers.layouts import layouts
from factory.readers.layouts.base import Layout
from factory.readers.names import NAMES, PAIRED, REPLIES, Columns
from factory.readers.opened import Opened, columns_of
from factory.readers.unfold import Unfolded, unfolded
from factory.readers.verdicts import VERDICTS


class Claim(NamedTuple):
    """Rows of a frame that a layout reads; `layout` None: rows that no layout fits."""

    layout: Layout | None
    rows: pl.LazyFrame
    columns: Columns
    remarks: tuple[str, ...] = ()
    keys: pl.Series | None = None
    """See Unfolded, where the layout reads all of those rows."""


def claimed(frame: pl.LazyFrame, how: How) -> list[Claim]:
    """The layouts that read the rows of a frame, and the rows that are left."""
    there = frame.collect_schema()
    new = {name: role for role, name in how.columns.items() if role in RENAMED and name in there and role not in there}
    frame = frame.rename({**_lowered(there, how), **new})
    columns = Columns(frame.collect_schema(), how.columns)
    return [claim for part in unfolded(frame, columns) for claim in _of_kind(part, how)]


def _lowered(there: pl.Schema, how: How) -> dict[str, str]:
    """Columns called as one that means something but for its case, such as Prompt, and what they are called then."""
    meant = {*VERDICTS, *REPLIES, *(name for names in NAMES.values() for name in names)}
    lower = {name: name.lower() for name in there if name not in meant and name not in how.columns.values()}
    several = list(lower.values())
    return {name: new for name, new in lower.items() if new in meant and new not in there and several.count(new) == 1}


def _of_kind(part: Unfolded, how: How) -> list[Claim]:
    columns = Columns(part.rows.collect_schema(), how.columns)
    known = layouts()
    fitting = [layout for layout in known.values() if how.layout in (None, layout.name) and layout.fits(columns)]
    claims: list[Claim] = []
    rest = part.rows
    for layout in fitting:
        rows = layout.rows(columns)
        if rows is None:
            return [*claims, Claim(layout, rest, columns, part.remarks, None if claims else part.keys)]
        mine, total = rest.select(rows.sum(), pl.len().alias("__total")).collect(engine="streaming").row(0)
        if layout.most and mine * 2 <= total:
            continue
        remarks = (*part.remarks, layout.remark.format(f"{mine:,}")) if layout.remark else part.remarks
        if mine == total:
            keys = None if claims else part.keys
            return [*claims, Claim(layout, rest, columns, remarks, keys)] if total or not claims else claims
        if mine:
            claims.append(Claim(layout, rest.filter(rows), columns, remarks))
        rest = rest.filter(~rows)
    return [*claims, Claim(next((layout for layout in fitting if layout.rest), None), rest, columns, part.remarks)]


class NoPairsError(InputError):
    """An input that fits no layout of pairs."""

    def __init__(self, sentence: str, *, replies: bool) -> None:
        super().__init__(sentence)
        self.replies = replies
        """Whether a column of it may hold a reply of a pair: it is no file of prompts, then."""


def no_layout(opened: Opened, how: How) -> NoPairsError:
    """The error about an input that fits no layout, or not the one asked for."""
    there = {name.lower() for frame in opened.frames for name in frame.collect_schema()}
    replies = bool(there & PAIRED or {*how.columns} & {"chosen", "rejected", "first", "second", "candidates"})
    return NoPairsError(_sentence(opened, how), replies=replies)


def _sentence(opened: Opened, how: How) -> str:
    if how.layout is not None:
        asked = layouts()[how.layout]
        return f"{opened.where}: is not in the layout {asked.name} ({asked.about}); it has {columns_of(opened)}"
    near = "; ".join(f"{layout.name} ({layout.about})" for layout in _nearest(opened))
    way = "name the columns, as in --columns prompt=…,chosen=…,rejected=…"
    return (
        f"{opened.where}: no pairs can be read from its columns, {columns_of(opened)}; {way}; "
        f"the nearest layouts are {near}; docs/formats.md has them all"
    )


def _nearest(opened: Opened, most: int = 2) -> list[Layout]:
    """The layouts that name most of an input's columns."""
    there = {name.lower() for frame in opened.frames for name in frame.collect_schema()}
    return sorted(layouts().values(), key=lambda one: -len(there & {*re.findall(r"\w+", one.about.lower())}))[:most]
