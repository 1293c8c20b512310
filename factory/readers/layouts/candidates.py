"""Candidates and a verdict: a prompt and a list of replies with scores, ranks, marks or a choice among them.

UltraFeedback raw, Nectar, NeMo-RL, summarize-from-feedback, StackExchange preferences, distilabel's generations and
ratings, LLaMA-Factory's old list of two outputs; RewardBench 2 and RM-Bench, whose lists are the right and the wrong.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import polars as pl

from factory.errors import span
from factory.readers.cells.literals import written_in
from factory.readers.cells.reply_words import in_words
from factory.readers.cells.values import json_of, json_text
from factory.readers.columns.asked import asked, kind_of
from factory.readers.columns.verdicts import graded
from factory.readers.inputs.opened import UnclearError
from factory.readers.layouts.base import UNREADABLE, Columns, How, Layout, Parts, Reshaped
from factory.readers.layouts.ranking import (
    GOOD,
    MADE,
    PAIR,
    CandidatePair,
    candidates_of,
    grades_beside,
    ids_of,
    left_in,
    made_parts,
    may_be_order,
    number,
    pairs_of,
    place_of,
    require_some,
    table,
)
from factory.readers.messages import is_text
from factory.readers.names import BESIDE, GRADES, LISTS, LOWER, PICKS, RANKS, SCORES, free
from factory.readers.reading import objects_hold

_FIRST = "their order"
GRADED = frozenset((*SCORES, *BESIDE)) - {*LOWER}
_SAMPLE = 20


class _Names(NamedTuple):
    """The columns that matter."""

    replies: tuple[str, ...]
    """One list, or the right and the wrong."""
    beside: str | None = None
    pick: str | None = None
    each: tuple[str, ...] = ()
    """Columns of one reply each, where `replies` is their name together."""
    grades: tuple[str, ...] = ()
    """Those that say how good each is, where `beside` is their name together."""
    told: bool = False
    """The user says what names the better reply, or it is sure: nothing else does."""


def _names(columns: Columns) -> _Names | None:
    # RewardBench 2: lists of right and of wrong replies, of which either may be a text where it is one alone.
    right, wrong = columns.first("chosen"), columns.first("rejected")
    if right and wrong and {kind_of(columns[right]), kind_of(columns[wrong])} in ({"texts"}, {"text", "texts"}):
        return _Names((right, wrong))
    for name in columns.having("candidates") if "candidates" in columns.named else LISTS:
        if name in columns and _may_list(columns[name]):
            beside = next((other for other in BESIDE if other in columns and other != name), None)
            named = columns.named.get("label")
            pick = next((p for p in PICKS if p in columns and p != beside), None)
            # A text with nothing beside it is one reply, though it may read as a list.
            told = beside or pick or named or "candidates" in columns.named
            if name == "output" and is_text(columns[name]) and not told:
                continue
            if named is not None:
                listed = isinstance(columns[named], pl.List)
                return _Names((name,), named if listed else None, None if listed else named, told=True)
            return _Names((name,), beside, pick)
    return _in_columns(columns)


def _in_columns(columns: Columns) -> _Names | None:
    """Three replies or more in columns of their own, with a score or a rank of each: response_1, score_1 and so on."""
    for stem, each in columns.numbered():
        # Two are read as labelled, where more than a score may tell them apart.
        if len(each) < 3 or not all(is_text(columns[name]) for name in each):
            continue
        scores, ranks = graded(columns, each, GRADES), graded(columns, each, RANKS)
        if scores or ranks:
            return _Names((stem,), "ranks" if ranks else "scores", None, each, ranks or scores or ())
    return None


def _may_list(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.List) or is_text(dtype)


def _fits(columns: Columns) -> bool:
    return _names(columns) is not None and asked(columns) is not None


def _rows(columns: Columns) -> pl.Expr | None:
    """Where the list is written out, as in JSONL: rows that hold one."""
    names = _names(columns)
    name = names.replies[0] if names and len(names.replies) == 1 else None
    if name is None or not is_text(columns.get(name)):
        return None
    # What opens so is a list of texts, objects or lists; [1] in prose is none.
    return pl.col(name).str.contains(r"^\s*\[\s*[\"'{\[]").fill_null(value=False)


def _reshape(frame: pl.LazyFrame, columns: Columns, how: How) -> Reshaped:
    names = _names(columns)
    assert names is not None
    # Refused for the whole file: nothing in a row could tell the better reply, whatever its texts are.
    lists = len(names.replies) == 1 and columns.get(names.replies[0]) == pl.List(pl.String)
    alone, few = lists and not (names.beside or names.pick), (pl.col(names.replies[0]).list.len() == 2).mean() < 0.5
    # Of two outputs LLaMA-Factory's old way has the better one first; where most rows have not two, nothing tells.
    if alone and (names.replies != ("output",) or frame.select(few).collect(engine="streaming").item()):
        raise UnclearError(
            f"{names.replies[0]} is a list of replies, and no column says which is better; "
            f"call the one that does {', '.join((*BESIDE, *PICKS))}"
        )
    of, texts = _judge(frame, columns, names, how.pairs), _texts(columns, names)

    def make(rows: pl.Series) -> pl.Series:
        made = [of(_values(row, names)) for row in rows.to_list()]
        flat = table([one for some in made for one in some]).to_struct("made")
        owner = pl.Series([place for place, some in enumerate(made) for _ in some], dtype=pl.Int64)
        grouped = pl.DataFrame({"owner": owner, "made": flat}).group_by("owner", maintain_order=True).agg("made")
        return grouped["made"].alias(rows.name)

    every = texts.map_batches(make, return_dtype=pl.List(PAIR), is_elementwise=True)
    # A look at a few rows tells which columns of scores and models there will be, without a pass over all.
    shown = _pairs(frame.head(_SAMPLE), every)
    # Only where these are no pairs are all rows asked, as that reads the file.
    if shown.is_empty():
        shown = _pairs(frame, every)
    if shown.is_empty():
        require_some(frame.select(every.alias(MADE)).explode(MADE), names.replies, (names.beside, names.pick))
    told = shown.select(pl.col("^(score|model)_.*$"))
    kept = [one.name for one in told if one.null_count() < told.height]
    rows = frame.with_columns(every.alias(MADE)).explode(MADE)
    field = pl.col(MADE).struct.field
    extra = [field(name).alias(name if name not in columns else free(name, columns)) for name in kept]
    return Reshaped(rows.with_columns(extra), _told_by(frame.select(texts).head(1).collect(), names))


def _pairs(frame: pl.LazyFrame, every: pl.Expr) -> pl.DataFrame:
    """The first few pairs."""
    made = frame.select(every.alias(MADE)).explode(MADE).unnest(MADE)
    return made.filter(pl.col("reason").is_null()).head(_SAMPLE).collect(engine="streaming")


def _texts(columns: Columns, names: _Names) -> pl.Expr:
    """What is needed of a row, each as JSON."""
    if names.each:
        replies = pl.concat_list(names.each)
        numbers = pl.concat_list(pl.col(name).cast(pl.Float64, strict=False) for name in names.grades)
        cells = {names.replies[0]: replies, names.beside: numbers}
        return pl.struct(json_text(value).alias(name or "") for name, value in cells.items())
    needed = [name for name in (*names.replies, names.beside, names.pick) if name]
    # One text beside a list is a reply as it is, though it may read as JSON.
    plain = [name for name in names.replies if len(names.replies) == 2 and is_text(columns[name])]
    values = (json_text(pl.col(name)) if name in plain else json_of(name, columns[name]) for name in needed)
    return pl.struct(cell.alias(name) for name, cell in zip(needed, values, strict=True))


def _values(row: Mapping[str, str | None], names: _Names) -> dict[str, Any]:
    """What is needed of a row; what picks a reply is a word where it is no JSON."""
    found = {name: written_in(text) for name, text in row.items()}
    if names.pick is not None and found.get(names.pick) is None:
        found[names.pick] = row.get(names.pick)
    return found


def _told_by(first: pl.DataFrame, names: _Names) -> tuple[str, ...]:
    """A remark on what says which reply is better, by the first row."""
    row = _values(first.item(), names) if first.height else {}
    items = row.get(names.replies[0])
    if len(names.replies) == 2:
        # Where they are the steps of one reply each, this is what shows it.
        several = any(isinstance(one, list) and len(one) > 1 for one in row.values())
        return (f"{' and '.join(names.replies)} are lists of whole replies, of which one of each is taken",) * several
    if not isinstance(items, list):
        return ()
    said = _scores(items, row, names, 0)[1] or _scores(items, row, names, None)[1]
    if not said:
        return ()
    rest = {_FIRST: "the first is the better"}.get(said, "it names the best")
    meant = "the lower the better" if said in LOWER else "the higher the better" if said in GRADED else rest
    left = left_in(items, said)
    return (f"replies are told apart by {said}: {meant}", *([objects_hold(names.replies[0], left)] if left else []))


def _judge(
    frame: pl.LazyFrame, columns: Columns, names: _Names, pairing: str
) -> Callable[[dict[str, Any]], list[CandidatePair]]:
    """What makes a row's JSON values into pairs."""
    base = _base(frame, columns, names) if names.pick else 0

    def of(row: dict[str, Any]) -> list[CandidatePair]:
        lists = [row[name] if isinstance(row[name], list) else [row[name]] for name in names.replies]
        if len(lists) == 2:
            scores: list[float | None] = [*([1.0] * len(lists[0])), *([0.0] * len(lists[1]))]
            found, scored = candidates_of([*lists[0], *lists[1]], scores), False
        else:
            scores, said = _scores(lists[0], row, names, base)
            found, scored = candidates_of(lists[0], scores) if scores else None, said in GRADED
        if not found:
            why = f"no replies, or nothing that says which is better, in {', '.join(row)}"
            return [CandidatePair(reason=UNREADABLE, detail=why)]
        return pairs_of(found if scored else [one._replace(given=None) for one in found], pairing)

    return of


def _scores(items: list[Any], row: dict[str, Any], names: _Names, base: int | None) -> tuple[list[float | None], str]:
    """A number per reply, the higher the better, and the name of what says it."""
    place = place_of(row.get(names.pick or ""), items, base)
    # What the user names wins over the scores of the objects.
    if place is not None and names.told:
        return [1.0 if at == place else 0.0 for at in range(len(items))], names.pick or ""
    objects = [item for item in items if isinstance(item, dict)]
    # A rank says outright what a score is compared for, and either says more than a mark.
    for keys, sign in ((RANKS, -1), (SCORES, 1), (GOOD, 1)):
        for key in keys:
            if any(number(item.get(key)) is not None for item in objects):
                found = [number(item.get(key)) if isinstance(item, dict) else None for item in items]
                return [None if one is None else sign * one for one in found], key
    numbers = grades_beside(row.get(names.beside or ""), items)
    if numbers is not None and not (names.beside == "ranking" and may_be_order(numbers)):
        sign = -1 if names.beside in LOWER else 1
        return [None if one is None else sign * one for one in numbers], names.beside or ""
    if place is not None:
        return [1.0 if at == place else 0.0 for at in range(len(items))], names.pick or ""
    if names.replies == ("output",) and len(items) == 2 and names.pick is None:
        return [1.0, 0.0], _FIRST  # the old way of LLaMA-Factory: the better one first
    return [], ""


def _base(frame: pl.LazyFrame, columns: Columns, names: _Names) -> int | None:
    """From what the places of replies are counted; None where each row names a reply by its id."""
    assert names.pick is not None
    reply, pick = names.replies[0], names.pick
    place = pl.col(pick).cast(pl.String).cast(pl.Float64, strict=False)
    every = columns.everywhere(pick, frame)
    low, high = (
        pl.concat(one.select(place.alias("place")) for one in every)
        .select(pl.min("place"), high=pl.max("place"))
        .collect(engine="streaming")
        .row(0)
    )
    texts = _texts(columns, names)
    first = [_values(row, names)[reply] for row in frame.select(texts).head(1).collect().to_series()]
    called = any(map(ids_of, first))
    shortest = min((len(one) for one in first if isinstance(one, list)), default=0)
    if not low and not called and (high or 0) < shortest:
        return 0
    # Of every row, as lists may differ in length; most files are told by their lowest place.
    same = [one for one in every if one.collect_schema().get(reply) == columns[reply]]
    rows = [_values(row, names) for one in same for row in one.select(texts).collect().to_series()]
    said = [row for row in rows if row[pick] is not None and in_words(str(row[pick]).lower()) != 0]
    if called and said and all(place_of(row[pick], row[reply], None) is not None for row in said):
        return None
    # The last of as many replies is named by its number: counted from 1, and who knows what 0 is then.
    last = any(isinstance(row[reply], list) and 0 < len(row[reply]) == number(row[pick]) for row in said)
    if low and last:
        return 1
    if not last and (not low or pick == "choice"):
        return 0
    raise UnclearError(
        f"the column {pick} holds {span(low, high, 'g')}, and may be counted from 0 or from 1; count from 0"
    )


def _parts(columns: Columns) -> Parts:
    names, found = _names(columns), asked(columns)
    assert names is not None
    assert found is not None
    told = names.grades or ((names.beside or names.pick or ""),)
    used = {
        "chosen": names.each or names.replies[:1],
        "rejected": names.each or names.replies[-1:],
        "score": tuple(filter(None, told)),
    }
    return made_parts(found.turns, found.columns | used)


CANDIDATES = Layout(
    "candidates",
    "prompt, and completions (or answers, responses, summaries, generations, …): a list of replies with score, rank or "
    "a mark each, or with scores, ranks or a choice beside it; or chosen, rejected: lists of texts; or response_1, "
    "response_2, response_3, … with score_1, … or rank_1, …",
    _fits,
    _parts,
    _rows,
    reshape=_reshape,
)
