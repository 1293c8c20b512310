"""TRL's standard implicit layout: two texts that begin with the same prompt."""

import polars as pl

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import ODD, is_text, said

_CUT = pl.Struct({"prompt": pl.String(), "chosen": pl.String(), "rejected": pl.String()})


def _shared(one: str, other: str) -> int:
    """Number of letters with which both texts begin, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one.startswith(other[:middle]) else (low, middle - 1)
    return low


def cut(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Prompt, chosen and rejected of two texts: the prompt is what they share, up to the last white space in it."""
    end = _shared(chosen, rejected)
    if end and not chosen[end - 1].isspace():
        end -= len(chosen[:end].rsplit(None, 1)[-1])
    return chosen[:end].rstrip(), chosen[end:].lstrip(), rejected[end:].lstrip()


def _cut_all(rows: pl.Series) -> pl.Series:
    chosen, rejected = (rows.struct.field(name).to_list() for name in ("chosen", "rejected"))
    pieces = [(None, c, r) if c is None or r is None else cut(c, r) for c, r in zip(chosen, rejected, strict=True)]
    columns = {name: [piece[place] for piece in pieces] for place, name in enumerate(_CUT.to_schema())}
    return pl.DataFrame(columns, schema=_CUT.to_schema()).to_struct(rows.name)


def _fits(columns: Columns) -> bool:
    prompted = ODD in (columns.get("prompt"), columns.get("question"))
    return not prompted and is_text(columns.get("chosen")) and is_text(columns.get("rejected"))


def _parts(columns: Columns) -> Parts:
    found = pl.struct("chosen", "rejected").map_batches(_cut_all, return_dtype=_CUT, is_elementwise=True).struct.field
    used = frozenset({"chosen", "rejected", "prompt", "question"} & set(columns))
    return Parts(said("user", found("prompt")), found("chosen"), found("rejected"), used)


TRL_IMPLICIT_TEXT = Layout(
    "trl_implicit_text", "chosen, rejected: texts that begin with the same prompt", _fits, _parts
)
