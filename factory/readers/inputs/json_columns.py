"""Columns of JSON, which `datasets` makes of objects that are not alike, read as a file of those objects is."""

import json
from contextlib import suppress
from typing import Any

import polars as pl

from factory.readers.inputs.opened import Opened
from factory.readers.inputs.texts import read_objects


def as_objects(opened: Opened) -> Opened:
    """`opened` with its rows as objects, where a column of them is JSON or holds such."""
    if not any(_holds_json(kind) for frame in opened.frames for kind in frame.collect_schema().values()):
        return opened
    frames = [frame.collect() for frame in opened.frames]
    if not any(map(len, frames)):
        return opened._replace(frames=tuple(pl.LazyFrame(schema=dict.fromkeys(f.columns, pl.Null())) for f in frames))
    rows = (
        {name: _decoded(value, kinds[name]) for name, value in row.items()}
        for frame in frames
        for kinds in [frame.schema]
        for row in frame.iter_rows(named=True)
    )
    read = read_objects(rows, opened.where)
    made = tuple(frame.lazy() for frame in read.frames)
    return opened._replace(frames=made, unread=read.unread, left=read.left, in_memory=True)


def _holds_json(kind: pl.DataType) -> bool:
    match kind:
        case pl.BaseExtension():
            return kind.ext_name() == "arrow.json"
        case pl.List() | pl.Array():
            return _holds_json(kind.inner)  # type: ignore[arg-type]
        case pl.Struct():
            return any(_holds_json(field.dtype) for field in kind.fields)  # type: ignore[arg-type]
    return False


def _decoded(value: Any, kind: Any) -> Any:
    """A cell as JSON has it."""
    match kind:
        case pl.BaseExtension() if isinstance(value, str):
            with suppress(ValueError):  # what is no JSON is a text
                return json.loads(value)
        case pl.List() | pl.Array() if value is not None:
            return [_decoded(one, kind.inner) for one in value]
        case pl.Struct() if value is not None:
            return {field.name: _decoded(value[field.name], field.dtype) for field in kind.fields}
    return value if value is None or isinstance(value, str | int | float) else str(value)
