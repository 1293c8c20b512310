"""Which layout reads which rows of a frame."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from factory.errors import InputError
from factory.readers.cells.objects import spoken
from factory.readers.cells.unfold import Unfolded, unfolded
from factory.readers.cells.values import is_true
from factory.readers.columns.pointers import pointing
from factory.readers.how import RENAMED, How
from factory.readers.inputs.annotated import asked_about
from factory.readers.inputs.opened import Opened, columns_of
from factory.readers.layouts import layouts
from factory.readers.layouts.base import Layout
from factory.readers.layouts.labelled import replies_beside
from factory.readers.names import KNOWN, PAIRED, Columns, free, known_as, plainly

_MANY = 5
_DELETED = ("deleted", "is_deleted", "discarded", "is_discarded", "removed", "is_removed")


class Detected(NamedTuple):
    """Rows of a frame that a layout reads; `layout` None: rows that no layout fits."""

    layout: Layout | None
    rows: pl.LazyFrame
    columns: Columns
    remarks: tuple[str, ...] = ()
    keys: pl.Series | None = None
    """See Unfolded, where the layout reads all of those rows."""
    why: str | None = None
    """Why no layout is asked about the rows."""


def detect_layouts(frames: Sequence[pl.LazyFrame], how: How, beside: Sequence[pl.LazyFrame] = ()) -> list[Detected]:
    """The layouts that read the rows of a file's frames, and the rows that are left.

    `beside` are the frames of the other files of a data set, which are read alike.
    """
    kept, gone = zip(*map(_kept, frames), strict=True) if frames else ((), ())
    known = [_known(frame, how) for frame in kept]
    whole = (*known, *(_known(frame, how) for frame in beside))
    how = pointing(whole, how)
    parts = (part for frame in known for part in unfolded(frame, Columns(frame.collect_schema(), how.columns)))
    return [*(claim for part in parts for claim in _of_kind(part, how, whole)), *filter(None, gone)]


def _kept(frame: pl.LazyFrame) -> tuple[pl.LazyFrame, Detected | None]:
    """`frame` without the rows that it calls deleted, and these."""
    schema = frame.collect_schema()
    name = next((name for name in _DELETED if name in schema and not schema[name].is_nested()), None)
    if name is None:
        return frame, None
    marked = is_true(name)
    if not frame.select(marked.any()).collect(engine="streaming").item():
        return frame, None
    gone = frame.filter(marked)
    return frame.filter(~marked), Detected(None, gone, Columns(schema), why=f"the column {name} says that it is gone")


def _known(frame: pl.LazyFrame, how: How) -> pl.LazyFrame:
    """`frame` with its columns called as they are known."""
    there = frame.collect_schema()
    new = {name: role for role, name in how.columns.items() if role in RENAMED and name in there and role != name}
    lowered = {name: known for name, known in _lowered(there, how).items() if known not in new.values()}
    away = {role: free(role, there) for role in new.values() if role in there}  # the one that the user names is meant
    return spoken(frame.rename({**lowered, **away, **new}), known_as(how.columns))


def _lowered(there: pl.Schema, how: How) -> dict[str, str]:
    """Columns called as one that means something but for how it is written, and what they are called then.

    Such as Prompt, `Chosen Response` or chosenResponse.
    """
    lower = {name: plainly(name) for name in there if name not in KNOWN and name not in how.columns.values()}
    # Of Prompt beside PROMPT neither can be told for the one meant, so that both stay as they are.
    several = list(lower.values())
    return {name: new for name, new in lower.items() if new in KNOWN and new not in there and several.count(new) == 1}


def _of_kind(part: Unfolded, how: How, whole: Sequence[pl.LazyFrame]) -> list[Detected]:
    columns = Columns(part.rows.collect_schema(), how.columns, whole)
    fitting = [layout for layout in layouts().values() if how.layout in (None, layout.name) and layout.fits(columns)]
    claims: list[Detected] = []
    rest = part.rows
    for layout in fitting:
        rows = layout.rows(columns)
        if rows is None:
            return [*claims, Detected(layout, rest, columns, part.remarks, None if claims else part.keys)]
        # Counted before rows are parted: most files are of one layout, which is then read without a filter.
        mine, total = rest.select(rows.sum(), pl.len().alias("__total")).collect(engine="streaming").row(0)
        if layout.most and mine * 2 <= total:
            continue
        remarks = (*part.remarks, layout.remark.format(f"{mine:,}")) if layout.remark else part.remarks
        if mine == total:
            keys = None if claims else part.keys
            return [*claims, Detected(layout, rest, columns, remarks, keys)] if total or not claims else claims
        if mine:
            claims.append(Detected(layout, rest.filter(rows), columns, remarks))
        rest = rest.filter(~rows)
    return [*claims, Detected(next((layout for layout in fitting if layout.rest), None), rest, columns, part.remarks)]


class NoPairsError(InputError):
    """An input that fits no layout of pairs."""

    def __init__(self, sentence: str, *, replies: bool) -> None:
        super().__init__(sentence)
        self.replies = replies
        """Whether a column of it may hold a reply of a pair: it is no file of prompts, then."""


def no_layout(opened: Opened, how: How) -> NoPairsError:
    """The error about an input that fits no layout, or not the one asked for."""
    there = {*map(str.lower, opened.names)}
    # `look` reads a file as prompts where no pair is in it, but not one whose replies could not be told.
    replies = bool(there & PAIRED or {*how.columns} & {"chosen", "rejected", "first", "second", "candidates"})
    return NoPairsError(_sentence(opened, how), replies=replies)


def _sentence(opened: Opened, how: How) -> str:
    known = [_known(frame, how) for frame in opened.frames]
    if how.layout is not None:
        asked = layouts()[how.layout]
        return f"{opened.where}: is not in the layout {asked.name} ({asked.about}); it has {columns_of(opened)}"
    several = next(filter(None, (replies_beside(Columns(frame.collect_schema(), how.columns)) for frame in known)), ())
    if several:
        may = sorted({*asked_about(opened.names), *(name for name in opened.names if name.endswith(".suggestion"))})
        unless, label = (f", unless {' or '.join(may)} does", may[0]) if may else ("", "…")
        way = f"--columns label={label}" if len(several) == 2 else f"--columns first=…,second=…,label={label}"
        named = ", ".join(several) if len(several) < _MANY else f"{several[0]} to {several[-1]}"
        said = f"no column of it says which of {named} is better{unless}"
        return f"{opened.where}: {said}; name it, as in {way}"
    near = "; ".join(f"{layout.name} ({layout.about})" for layout in _nearest(opened))
    way = "name the columns, as in --columns prompt=…,chosen=…,rejected=…"
    return (
        f"{opened.where}: no pairs can be read from its columns, {columns_of(opened)}; the nearest layouts are {near}; "
        f"docs/formats.md has them all; {way}"
    )


def _nearest(opened: Opened) -> list[Layout]:
    """The two layouts that name most of an input's columns."""
    there = {*map(str.lower, opened.names)}
    return sorted(layouts().values(), key=lambda one: -len(there & {*re.findall(r"\w+", one.about.lower())}))[:2]
