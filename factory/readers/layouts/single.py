"""Single replies, each good or bad or scored, of which those to the same prompt make pairs: KTO, HelpSteer.

The rows are brought together in memory, since those of one prompt may be anywhere in a file.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from factory.errors import short
from factory.readers.cells.reply_words import MARK_WORDS
from factory.readers.cells.values import looked_up
from factory.readers.columns.asked import asked, kind_of, reply, system_in, talks, under
from factory.readers.inputs.opened import UnclearError
from factory.readers.layouts.base import ALONE, TIE, UNREADABLE, Columns, How, Layout, Parts, Reshaped
from factory.readers.layouts.ranking import MADE, Candidate, CandidatePair, made_parts, one_row_each, pairs_of
from factory.readers.messages import blank, is_text, joined, said, turns_of
from factory.readers.names import BOOLEAN_MARKS, LONE_REPLIES, MARKS, RANKS, SCORES

_KINDS = ("text", "message", "messages")
_TURNS = "__turns"
_SHOWN = 80
"""Letters of a mark that a question shows."""


class _Placed(NamedTuple):
    """A reply and the number of its row."""

    place: int
    candidate: Candidate


def _reply(columns: Columns) -> str | None:
    # An answer that is empty in every row is that of a question nobody has answered yet.
    there = (name for name in (*columns.having("completion"), *LONE_REPLIES) if columns.get(name, pl.Null()) != pl.Null)
    return next((name for name in there if kind_of(columns[name]) in _KINDS), None)


def _mark(columns: Columns) -> str | None:
    named = columns.named.get("label")
    marks = [name for name in ([named] if named else MARKS) if name in columns and _flat(columns[name])]
    scores = [name for name in (*SCORES, *RANKS) if name in columns and _flat(columns[name])]
    # A boolean is a mark and nothing else; a `label` of numbers may be a class, so that scores go before it.
    sure = [name for name in marks if columns[name] == pl.Boolean]
    more = [name for name in BOOLEAN_MARKS if columns.get(name) == pl.Boolean]
    own = [named] if named in marks else []
    return next(iter([*own, *columns.answered_first([*sure, *scores, *marks, *more])]), None)


def _flat(dtype: pl.DataType) -> bool:
    """Whether it can be a mark or a score; a CSV file has its numbers as texts."""
    return dtype == pl.Boolean or dtype.is_numeric() or is_text(dtype)


def _values(frame: pl.LazyFrame, name: str) -> pl.Expr:
    """A mark as 1 or 0, a score as the number it is; null where nothing stands. UnclearError for another word."""
    number = pl.col(name).cast(pl.Float64, strict=False).fill_nan(None)
    # A rating without a number is a thumb up or down, or another mark.
    if name in (*SCORES, *RANKS) and frame.select(number.is_not_null().any()).collect(engine="streaming").item():
        return -number if name in RANKS else number
    text = pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase()
    mark = pl.coalesce(number, looked_up(text, MARK_WORDS, pl.Float64))
    # A tie is what annotators say who are split: of those rows alone nothing is known.
    odd = ~blank(text) & (text != "tie") & ~mark.is_in([0.0, 1.0]).fill_null(value=False)
    seen = frame.filter(odd).select(pl.col(name).cast(pl.String)).head(1).collect(engine="streaming")
    if seen.height:
        raise UnclearError(
            f"the column {name} holds {short(seen.item(), _SHOWN)!r}; write true for a good reply and false for a bad "
            "one, or name a column of scores, as in --columns score=…"
        )
    return mark


def _fits(columns: Columns) -> bool:
    if columns.first("chosen") not in (None, "response") or columns.first("rejected") or _mark(columns) is None:
        return False
    return bool(talks(columns)) if _reply(columns) is None else asked(columns) is not None


def _reshape(frame: pl.LazyFrame, columns: Columns, how: How) -> Reshaped:
    """One row per pair, that of its chosen reply, and one per reply that stays alone."""
    mark = _mark(columns)
    assert mark is not None
    marked = mark not in SCORES
    narrow = frame.select(_whole(columns).alias(_TURNS), _values(frame, mark).alias(mark)).collect()
    groups: dict[str, list[_Placed]] = {}
    made: list[tuple[int, CandidatePair]] = []
    for place, (turns, score) in enumerate(narrow.iter_rows()):
        if not turns or score is None:
            made.append(
                (place, CandidatePair(reason=UNREADABLE, detail=f"it has no prompt, no reply, or nothing in {mark}"))
            )
            continue
        # White space around a turn does not make another prompt.
        key = json.dumps([(turn["role"], (turn["content"] or "").strip()) for turn in turns[:-1]])
        candidate = Candidate(turns, score, None if marked else score)
        groups.setdefault(key, []).append(_Placed(place, candidate))
    for group in groups.values():
        made += _of_group(group, how.pairs, marked)
    rows = one_row_each(frame.collect(), made)
    scores = [] if marked else [pl.col(MADE).struct.field(f"score_{side}") for side in ("chosen", "rejected")]
    remarks = (f"replies are told apart by {mark}: the lower the better",) if mark in RANKS else ()
    return Reshaped(rows.with_columns(scores).lazy(), remarks)


def _of_group(group: Sequence[_Placed], pairing: str, marked: bool) -> list[tuple[int, CandidatePair]]:
    """The pairs of one prompt's replies; where there is none, why each of them is left."""
    group = _agreed(group)
    scores = {candidate.score for _, candidate in group}
    if len(scores) > 1:
        places = {id(candidate): place for place, candidate in group}
        pairs = pairs_of([candidate for _, candidate in group], pairing)
        return [(places[id(one.chosen)], one) for one in pairs]
    # Two good replies are no tie: nobody compared them.
    alone = marked or len(group) == 1
    why = "no other reply to its prompt is better or worse" if alone else "the replies to its prompt are as good"
    return [(place, CandidatePair(reason=ALONE if alone else TIE, detail=why)) for place, _ in group]


def _agreed(group: Sequence[_Placed]) -> list[_Placed]:
    """A reply that several rows have, as that of its first row with the mean of what they say."""
    same: dict[str, list[_Placed]] = {}
    for one in group:
        same.setdefault((one.candidate.turns[-1]["content"] or "").strip(), []).append(one)
    mean = {text: sum(one.candidate.score for one in every) / len(every) for text, every in same.items()}
    return [
        _Placed(place, Candidate(turns, mean[text], None if given is None else mean[text]))
        for text, ((place, (turns, _, given, _)), *_) in same.items()
    ]


def _whole(columns: Columns) -> pl.Expr:
    """Prompt and reply as one conversation."""
    name = _reply(columns)
    if name is None:
        talk = talks(columns)[0]
        system, turns = system_in(columns), turns_of(talk, columns[talk])
        return under(system, columns, turns) if system else turns
    found = asked(columns)
    assert found is not None
    told = reply(columns, name)
    answer = said("assistant", told) if kind_of(columns[name]) == "text" else told
    return pl.when(found.turns.is_not_null() & answer.is_not_null()).then(joined(found.turns, answer))


def _parts(columns: Columns) -> Parts:
    name, mark, found = _reply(columns), _mark(columns), asked(columns)
    told = (name,) if name else (found.columns["prompt"] if found else ())
    roles = {**(found.columns if found else {}), "chosen": told, "rejected": told, "label": (mark,) if mark else ()}
    return made_parts(None, roles)


SINGLE = Layout(
    "single",
    "prompt, completion (or response, output, …), one reply a row, and label: true or false, or score, rating, …; "
    "paired by prompt",
    _fits,
    _parts,
    reshape=_reshape,
)
