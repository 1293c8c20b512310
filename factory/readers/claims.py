"""Which layout reads which rows of a frame."""

from typing import NamedTuple

import polars as pl

from factory.readers.layouts import LAYOUTS
from factory.readers.layouts.base import Layout
from factory.readers.opened import Opened, columns_of


class Claim(NamedTuple):
    """Rows of a frame that a layout reads; `layout` None: rows that no layout fits."""

    layout: Layout | None
    rows: pl.LazyFrame


def claimed(frame: pl.LazyFrame) -> list[Claim]:
    """The layouts that read the rows of a frame, and the rows that are left."""
    columns = frame.collect_schema()
    claims: list[Claim] = []
    rest = frame
    for layout in (layout for layout in LAYOUTS.values() if layout.fits(columns)):
        rows = layout.rows(columns)
        if rows is None:
            return [*claims, Claim(layout, rest)]
        mine, total = rest.select(rows.sum(), pl.len().alias("__total")).collect(engine="streaming").row(0)
        if mine == total:
            return [*claims, Claim(layout, rest)] if total or not claims else claims
        if mine:
            claims.append(Claim(layout, rest.filter(rows)))
        rest = rest.filter(~rows)
    return [*claims, Claim(None, rest)]


def no_layout(opened: Opened) -> str:
    """The sentence about an input that fits no layout."""
    known = "; ".join(f"{layout.name} ({layout.about})" for layout in LAYOUTS.values())
    return f"{opened.where}: no pairs can be read from its columns, {columns_of(opened)}; the layouts known are {known}"
