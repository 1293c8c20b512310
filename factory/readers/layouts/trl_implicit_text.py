"""TRL's standard implicit layout: two texts that begin with the same prompt.

That replies begin alike proves no prompt, so nothing is read so while anything else could be one, nor where most rows
share no whole line.
"""

import re

import polars as pl

from factory.readers.cells.records import by_cell
from factory.readers.columns.asked import is_texty, replies
from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import is_message, is_messages, said
from factory.schema import PAIRS

_BOUNDARY = re.compile(
    r"\n\s*|(?:^|(?<=\n))(?:Assistant|AI|Answer|Response|Bot|A|Assistent|Asistente|Assistente|Ассистент|助手|助理|アシスタント)"
    r"[:：]\s*"
)
_WORDS = r"\S\s+\S"
_WRITTEN_OUT = r"^\s*[\[{]"


def _shared(one: str, other: str) -> int:
    """Number of letters with which both texts begin, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one.startswith(other[:middle]) else (low, middle - 1)
    return low


def cut(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Prompt, chosen and rejected of two texts: what they share, up to its last line break or role (`Answer:`)."""
    begun = chosen[: _shared(chosen, rejected)]
    # The last boundary: beyond it both replies may begin with the same words.
    end = max((found.end() for found in _BOUNDARY.finditer(begun)), default=0)
    return begun[:end].rstrip(), chosen[end:].lstrip(), rejected[end:].lstrip()


def _pieces(columns: Columns) -> pl.Expr:
    """Prompt, chosen and rejected of each row as a list; null where a side is."""
    pair = replies(columns)
    assert pair is not None
    both = pl.struct(pl.col(pair.chosen).alias("chosen"), pl.col(pair.rejected).alias("rejected"))
    return by_cell(both, lambda row: None if None in row.values() else cut(**row), "texts")


def _others(columns: Columns) -> list[str]:
    """Columns of texts that might be the prompt."""
    pair = replies(columns)
    known = {*PAIRS.columns} - {"source"} | ({pair.chosen, pair.rejected} if pair else set())
    return [name for name, dtype in columns.items() if is_texty(dtype) and name not in known]


def _fits(columns: Columns) -> bool:
    pair = replies(columns)
    spoken = any(is_message(dtype) or is_messages(dtype) for dtype in columns.values())
    return pair is not None and pair.kind == "text" and not columns.asked and not spoken


def _rows(columns: Columns) -> pl.Expr:
    shared = _pieces(columns).list.first().str.len_bytes() > 0
    for name in _others(columns):
        text = pl.col(name).cast(pl.String)
        # A name or an id is one word; a text that may be asked has several.
        several_words = text.str.contains(_WORDS) & ~text.str.contains(_WRITTEN_OUT)
        # Where rows are from is the same of many; what is to be translated is another text in each.
        told = (text.n_unique() * 2 > text.len()) if name == "source" else pl.lit(value=True)
        shared = shared & ~(several_words.any() & told)
    return shared.fill_null(value=False)


def _parts(columns: Columns) -> Parts:
    pair, pieces = replies(columns), _pieces(columns).list
    assert pair is not None
    both = (pair.chosen, pair.rejected)
    used = {"prompt": both, "chosen": both[:1], "rejected": both[1:]}
    return Parts(said("user", pieces.get(0)), pieces.get(1), pieces.get(2), used)


TRL_IMPLICIT_TEXT = Layout(
    "trl_implicit_text",
    "chosen, rejected: texts that begin with the same prompt, and no other column that may hold one",
    _fits,
    _parts,
    _rows,
    most=True,
    remark="{} prompts are cut out of what both replies begin with, at a line break or a role",
)
