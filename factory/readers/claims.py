"""Which layout reads which rows of a frame."""

from typing import NamedTuple

import polars as pl

from factory.readers.how import RENAMED, How
from factory.readers.layouts import layouts
from factory.readers.layouts.base import Layout
from factory.readers.names import Columns
from factory.readers.opened import Opened, columns_of
from factory.readers.unfold import Unfolded, unfolded


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
    frame = frame.rename(new)
    columns = Columns(frame.collect_schema(), how.columns)
    return [claim for part in unfolded(frame, columns) for claim in _of_kind(part, how)]


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


def no_layout(opened: Opened, how: How) -> str:
    """The sentence about an input that fits no layout, or not the one asked for."""
    if how.layout is not None:
        asked = layouts()[how.layout]
        return f"{opened.where}: is not in the layout {asked.name} ({asked.about}); it has {columns_of(opened)}"
    known = "; ".join(f"{layout.name} ({layout.about})" for layout in layouts().values())
    way = "name the columns, as in --columns prompt=…,chosen=…,rejected=…"
    return (
        f"{opened.where}: no pairs can be read from its columns, {columns_of(opened)}; {way}; "
        f"the layouts known are {known}"
    )
