"""Exports of annotation tools as plain rows: Argilla's records, nested or flat, Label Studio's JSON, whole or short.

What the annotators were shown becomes columns, and so does each question, by its name: what most of them answered, the
mean of numbers, a tie where no answer has more voices than any other. QUESTION.answers keeps them all.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.readers.cells.literals import written_in
from factory.readers.cells.records import cell, frames_of
from factory.readers.cells.values import row_json
from factory.readers.inputs.opened import UnclearError
from factory.readers.names import (
    ANSWERED,
    KNOWN,
    LISTS,
    MARKS,
    PICKS,
    RANKS,
    REPLIES,
    SCORES,
    SPOKEN,
    VERDICTS,
    free,
    plainly,
)
from factory.schema import PAIRS

_FLAT = ".responses"
"""How the column of all answers to a question ends in Argilla's flat form."""
_TIE = "tie"
_WORDS = frozenset((*VERDICTS, *PICKS, *MARKS))
"""Names under which an answer in words is looked for; one in numbers is under those of scores."""
_SHOWN = SPOKEN | REPLIES | {*LISTS}
"""Columns that are a prompt or a reply, and no answer to a question."""
_OF_AN_ANSWER = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
"""What Label Studio's short form says of each answer."""
_NESTED = {"fields": dict, "responses": dict | None, "suggestions": dict | None}
_FIRST = {"fields": dict, "responses": list | None, "suggestions": list | None}
_TASKS = {"data": dict, "annotations": list | None}
_SHORT = dict.fromkeys(("id", "annotator", "annotation_id", "lead_time"), object)
"""The columns of Argilla's records, of version 2 and 1, of Label Studio's tasks and short form, and what is in them."""
_OFFERED = "-suggestion"
"""How the column of a machine's answer to a question ends in Argilla's version 1 on the Hub."""
_Row = Mapping[str, Any]
_Ranking = tuple[tuple[str, float], ...]


class _Record(NamedTuple):
    """One thing that annotators were asked about."""

    columns: _Row
    """What they were shown, and what else is known of it."""
    answers: Mapping[str, Sequence[Any]]
    """Question to a word, a number or a ranking from each who answered; None for any other answer."""


def rows_of(frame: pl.LazyFrame) -> list[pl.LazyFrame]:
    """`frame`, where it is such an export, with a row for each thing asked about; any other as it is."""
    schema = frame.collect_schema()
    names = {*schema}
    flat = {name: object for name in names if _FLAT in name} if _questions(names) else {"": object}
    hub: dict[str, Any] = {one: list | None for name in names if (one := name.removesuffix(_OFFERED)) != name} or {
        "": object
    }
    forms = ((_NESTED, _nested), (_FIRST, _first), (_TASKS, _tasks), (_SHORT, _short), (flat, _flat), (hub, _hub))
    for needed, read in forms:
        # A table of our own may have their columns beside its pairs.
        if not needed.keys() <= names or {*PAIRS.columns} <= names:
            continue
        packed = names - _SHOWN if read is _short else needed.keys()
        texts = frame.select(row_json(schema)).collect().to_series()
        rows = [{name: _held(one, name in packed) for name, one in json.loads(text).items()} for text in texts]
        if all(isinstance(row[name], kind) for row in rows for name, kind in needed.items()):
            made = _told([*read(rows)])
            cells = ({name: cell(name, one) for name, one in row.items()} for row in made)
            return [one.lazy() for one in frames_of(cells)]
    return [frame]


def answered(told: Mapping[str, Sequence[str]], columns: Collection[str]) -> tuple[str, ...]:
    """A remark on what says which reply is better, by role, where annotators were asked.

    Raises UnclearError where it is no answer of theirs: what they were shown may say the contrary.
    """
    asked, decide = asked_about(columns), [*told.get("label", ()), *told.get("score", ())]
    if not asked or (decide and {*decide} <= {*asked}):
        said = "what most annotators answered, of numbers the mean, a tie where they are split"
        return (f"{', '.join(decide)}: {said}; the columns that end with .answers have all",) if asked else ()
    by = " and ".join(decide or (*told.get("chosen", ()), *told.get("rejected", ())))
    raise UnclearError(
        f"annotators answered {', '.join(asked)}, but {by} would say which reply is better; name the answer that "
        f"counts, as in --columns first=…,second=…,label={asked[0]}, or --columns chosen=…,rejected=… as they were"
    )


def is_record(raw: Mapping[str, Any]) -> bool:
    """Whether an object is one of Argilla's records, or a task of Label Studio's."""
    return _NESTED.keys() <= raw.keys() or _TASKS.keys() <= raw.keys()


def asked_about(names: Collection[str]) -> list[str]:
    """The questions among columns that `rows_of` made."""
    return [name.removeprefix(ANSWERED) for name in names if name.startswith(ANSWERED)]


def _questions(names: Collection[str]) -> list[str]:
    return [name.removesuffix(_FLAT) for name in names if name.endswith(_FLAT)]


def _held(raw: Any, packed: bool) -> Any:
    """What a cell holds, also where it may be written out."""
    found = written_in(raw) if packed and isinstance(raw, str) and raw.lstrip()[:1] in ("[", "{") else None
    return raw if found is None else found


def _object(raw: Any) -> dict[str, Any]:
    # In Parquet every object of a column has all keys that any has.
    return {name: one for name, one in raw.items() if one is not None} if isinstance(raw, dict) else {}


def _list(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []


def _beside(row: _Row, packed: Collection[str], shown: _Row) -> dict[str, Any]:
    """What else is known of a record, none of it called like what annotators were shown or may say."""
    # Such as `score`, which in Argilla's record is how near it is to what was searched for.
    taken = _WORDS.union(shown, SCORES, RANKS)
    return {free(name, shown) if name in taken else name: one for name, one in row.items() if name not in packed}


def _flat(rows: Sequence[_Row]) -> Iterator[_Record]:
    asked = _questions(rows[0]) if rows else []
    for row in rows:
        answers = {}
        for name in asked:
            said, status = row[f"{name}{_FLAT}"], _list(row.get(f"{name}{_FLAT}.status"))
            given = said if isinstance(said, list) else [said]
            # A draft, or what its author discarded, is no answer.
            counts = [how in (None, "submitted") for how in status] or [True] * len(given)
            answers[name] = [_vote(one) for one, so in zip(given, counts, strict=False) if so]
        # Called otherwise, since what is read here may be written, and read again.
        yield _Record(
            {f"{name.removesuffix(_FLAT)}.answers" if name.endswith(_FLAT) else name: one for name, one in row.items()},
            answers,
        )


def _nested(rows: Sequence[_Row]) -> Iterator[_Record]:
    for row in rows:
        fields, given, offered = (_object(row[name]) for name in ("fields", "responses", "suggestions"))
        rest = _beside(row, _NESTED, fields)
        rest |= {f"{name}.suggestion": _object(one).get("value") for name, one in offered.items()}
        answers = {name: [_vote(_object(one).get("value")) for one in _list(every)] for name, every in given.items()}
        yield _Record({**rest, **fields}, answers)


def _given(raw: Any) -> list[_Row]:
    """The answers of version 1 that were handed in; a draft, or what its author discarded, is none."""
    return [one for one in map(_object, _list(raw)) if one.get("status") in (None, "submitted")]


def _first(rows: Sequence[_Row]) -> Iterator[_Record]:
    for row in rows:
        fields, answers = _object(row["fields"]), dict[str, list[Any]]()
        for one in _given(row["responses"]):
            for name, said in _object(one.get("values")).items():
                answers.setdefault(name, []).append(_vote(_object(said).get("value")))
        offered = map(_object, _list(row["suggestions"]))
        rest = {f"{one.get('question_name')}.suggestion": one.get("value") for one in offered}
        yield _Record({**_beside(row, _FIRST, fields), **rest, **fields}, answers)


def _hub(rows: Sequence[_Row]) -> Iterator[_Record]:
    for row in rows:
        asked = [one for name in row if (one := name.removesuffix(_OFFERED)) != name]
        answers = {name: [_vote(one.get("value")) for one in _given(row[name])] for name in asked}
        yield _Record({name: one for name, one in row.items() if name not in asked}, answers)


def _tasks(rows: Sequence[_Row]) -> Iterator[_Record]:
    for row in rows:
        data = _object(row["data"])
        answers: dict[str, list[Any]] = {}
        for annotation in map(_object, _list(row["annotations"])):
            if annotation.get("was_cancelled"):
                continue
            results = [*map(_object, _list(annotation.get("result")))]
            named = [str(one.get("from_name")) for one in results]
            for name, one in zip(named, results, strict=True):
                # Of an annotator who says two things to a question none can be taken.
                answers.setdefault(name, []).append(_side(one, data) if named.count(name) == 1 else None)
        rest = _beside(row, _TASKS, data)
        yield _Record({**rest, free("annotations", data): row["annotations"], **data}, answers)


def _side(result: _Row, data: _Row) -> Any:
    """What a result of Label Studio says; of a pair, the name of the better one where the result tells both names."""
    value, shown = _object(result.get("value")), str(result.get("to_name")).split(",")
    if value.get("selected") in ("left", "right") and len(shown) == 2 and {*shown} <= data.keys():
        return shown[value["selected"] == "right"]
    return _said(value)


def _said(value: _Row) -> Any:
    """The side of a pair, the one choice, or the number of stars, that a value of Label Studio is."""
    choices = _list(value.get("choices"))
    return _vote(value.get("selected") or (choices[0] if len(choices) == 1 else value.get("rating")))


def _short(rows: Sequence[_Row]) -> Iterator[_Record]:
    """A row for each answer, brought together by what was shown."""
    names = [*rows[0]] if rows else []
    # Questions stand there, unless what was shown has an id too.
    between = names[names.index("id") + 1 : names.index("annotator")] if rows else []
    between = [] if any(plainly(name) in _SHOWN for name in between) else between
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        shown = {name: one for name, one in row.items() if name == "id" or plainly(name) in _SHOWN}
        groups.setdefault(json.dumps(shown, sort_keys=True), []).append(row)
    for group in groups.values():
        every = {name: [row[name] for row in group] for name in group[0]}
        asked = [name for name, given in every.items() if name in between or _asked(name, given)]
        answers = {name: [*map(_answer, every[name])] for name in asked}
        rest = {name: given if name in _OF_AN_ANSWER else given[0] for name, given in every.items()}
        yield _Record({name: one for name, one in rest.items() if name not in answers}, answers)


def _asked(name: str, given: Sequence[Any]) -> bool:
    """Whether a column of the short form is a question: by its answers' form, or since answers to it differ."""
    differ = any(one != given[0] for one in given)
    return name not in _OF_AN_ANSWER and (differ or any(_said(one) is not None for one in map(_alone, given)))


def _answer(raw: Any) -> Any:
    return _said(_alone(raw)) if isinstance(raw, list) else _vote(raw)


def _alone(raw: Any) -> dict[str, Any]:
    return _object(raw[0]) if isinstance(raw, list) and len(raw) == 1 else {}


def _vote(raw: Any) -> str | float | _Ranking | None:
    """A word, a number, or the ranks of replies; None for any other answer."""
    if isinstance(raw, str):
        return raw.strip() or None
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    if isinstance(raw, dict):  # as the Hub has a list of objects
        raw = [dict(zip(raw, one, strict=True)) for one in zip(*map(_list, raw.values()), strict=False)]
    ranks: list[tuple[Any, Any]] = [(one.get("value"), one.get("rank")) for one in map(_object, _list(raw))]
    whole = ranks and all(isinstance(reply, str) and isinstance(rank, int | float) for reply, rank in ranks)
    return tuple(sorted((reply, float(rank)) for reply, rank in ranks)) if whole else None


def _told(records: Sequence[_Record]) -> Iterator[dict[str, Any]]:
    answers = [(name, vote) for one in records for name, votes in one.answers.items() for vote in votes]
    ranked = {name for name, vote in answers if isinstance(vote, tuple)}
    for record in records:
        # Names that begin so are the readers' own.
        row = {free(name, record.columns) if name.startswith("__") else name: v for name, v in record.columns.items()}
        for name, votes in record.answers.items():
            given = [vote for vote in votes if vote is not None]
            if given:
                made = _column(name, _agreed(given), row, alone=len(ranked) == 1)
                row |= made | {f"{ANSWERED}{one}": True for one in made or (name,)}
                row.setdefault(f"{name}.answers", given)
        yield row


def _agreed(given: Sequence[Any]) -> str | float | _Ranking:
    if all(isinstance(one, float) for one in given):
        return float(sum(given) / len(given))
    (most, voices), *others = Counter[str | float | _Ranking](given).most_common(2)
    if not others or voices > others[0][1]:
        return most
    return tuple((reply, 1.0) for reply, _ in most) if isinstance(most, tuple) else _TIE


def _column(question: str, said: str | float | _Ranking, row: _Row, *, alone: bool) -> dict[str, Any]:
    """The columns that hold an answer; of a ranking a rank for each reply, unless others rank the replies too."""
    if isinstance(said, tuple):
        replies = {reply: plainly(reply) if plainly(reply) in KNOWN else reply for reply, _ in said}
        ranks = {f"{replies[reply]}_rank": rank for reply, rank in said}
        if alone and {*replies} <= row.keys() and not ranks.keys() & row.keys():
            return ranks
        (first, best), *others = sorted(said, key=lambda one: one[1])
        if len(others) != 1:
            return {}
        said = _TIE if others[0][1] == best else first
    called = plainly(question)
    fits = called not in KNOWN or called in (_WORDS if isinstance(said, str) else SCORES)
    return {question if fits and question not in row else f"{question}.answer": said}
