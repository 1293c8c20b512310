"""Several replies to one prompt, and what says how good each is: from JSON values to pairs, and to their columns."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import polars as pl

from factory.readers.cells.records import column
from factory.readers.inputs.opened import UnclearError
from factory.readers.layouts.base import ALONE, TIE, UNREADABLE, Parts
from factory.readers.messages import PROBLEM, TURNS, left_of, message_kind, spoken_by, turn
from factory.readers.names import BESIDE, PICKS, SCORES, TEXTS

MADE = "__made"
"""Column of a pair, or of why there is none, that layouts of several replies give a row."""
_IDS = ("id", "response_id", "answer_id", "completion_id")
"""Keys of a candidate that what picks one may name it by."""
GOOD = (
    *("chosen", "selected", "is_chosen", "preferred", "label", "good", "correct"),
    *("is_correct", "is_preferred", "is_best", "accepted", "is_accepted"),
)


class Candidate(NamedTuple):
    """A reply and how good it is."""

    turns: list[dict[str, str | None]]
    score: float
    """The higher the better."""
    given: float | None = None
    """What the file says, where it is a score and not a rank or a choice."""
    model: str | None = None


class CandidatePair(NamedTuple):
    """A pair, or why there is none."""

    chosen: Candidate | None = None
    rejected: Candidate | None = None
    reason: str | None = None
    detail: str | None = None


def said(value: Any) -> list[dict[str, str | None]] | None:
    """A reply, a text or messages, as turns; None for what is neither."""
    if isinstance(value, str):
        return [{"role": "assistant", "content": value, PROBLEM: None}]
    if isinstance(value, dict) and message_kind(value):
        return [turn(value)]
    if isinstance(value, list) and value and all(message_kind(item) for item in value):
        return [turn(item) for item in value]
    return None


def candidates_of(items: Sequence[Any], scores: Sequence[float | None]) -> list[Candidate] | None:
    """The candidates of a list of texts or objects that have a score; None where a reply cannot be found."""
    found = []
    for item, score in zip(items, scores, strict=True):
        if item is None:
            continue
        told = _reply(item)
        if told is None:
            return None
        if score is not None:
            model = item.get("model") if isinstance(item, dict) else None
            found.append(Candidate(told, score, score, model if isinstance(model, str) else None))
    return found


def _reply(item: Any) -> list[dict[str, str | None]] | None:
    if isinstance(item, dict) and not (message_kind(item) and spoken_by(item)):
        return next((told for key in (*TEXTS, "message") if (told := said(item.get(key))) is not None), None)
    return said(item)


def number(value: Any) -> float | None:
    """A number, also one written as text; None for what is none."""
    if isinstance(value, bool):
        return float(value)
    try:
        made = float(value)
    except (TypeError, ValueError):
        return None
    # NaN is a number to float(), and equal to nothing, itself included.
    return made if made == made else None


def grades_beside(beside: Any, items: Sequence[Any]) -> list[float | None] | None:
    """A number per reply of what stands beside them, a list of numbers, or of objects that name a model; else None."""
    if isinstance(beside, dict):
        lists = {model: one if isinstance(one, list) else [one] for model, one in beside.items()}
        beside = [{**one[0], "model": model} for model, one in lists.items() if one and isinstance(one[0], dict)]
    if not isinstance(beside, list):
        return None
    if not beside or not all(isinstance(one, dict) for one in beside):
        return [number(one) for one in beside] if len(beside) == len(items) else None
    # By model where every reply names its own, since annotations need not stand in the order of the replies.
    by_model = {one.get("model"): _grade(one) for one in beside}
    models = [item.get("model") if isinstance(item, dict) else None for item in items]
    if len(by_model) == len(beside) and len({*models}) == len(items) and {*models} <= by_model.keys():
        return [by_model[model] for model in models]
    return [*map(_grade, beside)] if len(beside) == len(items) and by_model.keys() == {None} else None


def may_be_order(numbers: list[float | None]) -> bool:
    """Whether a ranking may be the replies' places from best to worst, and says another thing then than as ranks."""
    start = min((one for one in numbers if one is not None), default=0)
    places = [None if one is None else one - start for one in numbers]
    # A list that is no permutation of the places can only be ranks.
    if sorted(one for one in places if one is not None) != [*range(len(places))]:
        return False
    return any(places[int(one)] != at for at, one in enumerate(places) if one is not None)


def place_of(pick: Any, items: list[Any], base: int | None) -> int | None:
    """Which of the replies an id, or a place, a model or a letter names; None where it names none, or several."""
    if base is None:
        return next((called.index(str(pick)) for called in ids_of(items) if called.count(str(pick)) == 1), None)
    models = [item.get("model") for item in items if isinstance(item, dict)]
    # A model before a letter: one may be called b.
    if isinstance(pick, str) and models.count(pick) == 1 and len(models) == len(items):
        return models.index(pick)
    counted = number(pick)
    if counted is None and isinstance(pick, str) and re.fullmatch("[a-iA-I]", pick.strip()):
        counted = ord(pick.strip().lower()) - ord("a") + base
    whole = counted is not None and counted % 1 == 0
    return int(counted) - base if whole and counted is not None and 0 <= counted - base < len(items) else None


def ids_of(items: Any) -> list[list[str]]:
    """What the replies of a list are called, by each key that all of them have."""
    objects = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    found = [[str(item[key]) for item in objects if item.get(key) is not None] for key in _IDS]
    return [called for called in found if called and len(called) == len(items)]


def left_in(items: Sequence[Any], said: str) -> list[str]:
    """The keys of candidates that say something which is not read, where `said` tells them apart."""
    objects = [item for item in items if isinstance(item, dict)]
    return [key for item in objects for key in left_of(item) if key not in (said, "model", *_IDS)]


def require_some(made: pl.LazyFrame, replies: Sequence[str], told: Sequence[str | None]) -> None:
    """Raise UnclearError where in not one row `told` says which is better: that is no row's fault, but the file's."""
    reason = pl.col(MADE).struct.field("reason")
    # max, which is null of no rows at all.
    if made.select(reason.ne_missing(UNREADABLE).max()).collect(engine="streaming").item() is False:
        names = " or ".join(filter(None, told)) or "a column"
        raise UnclearError(
            f"in no row does {names} say which reply of {' and '.join(replies)} is better by a score, rank, mark or "
            f"place that is known; call the column that does one of {', '.join((*BESIDE, *PICKS))}"
        )


def _grade(one: Mapping[str, Any]) -> float | None:
    return next((grade for key in SCORES if (grade := number(one.get(key))) is not None), None)


def pairs_of(candidates: Iterable[Candidate], pairing: str) -> list[CandidatePair]:
    """The pairs of candidates: best and worst, neighbours in rank, or all that differ. Of equals the first is taken."""
    ranked = sorted(candidates, key=lambda one: -one.score)
    if len(ranked) < 2:
        return [
            CandidatePair(reason=UNREADABLE, detail=f"{len(ranked)} of its replies have a score, and a pair needs two")
        ]
    if ranked[0].score == ranked[-1].score:
        return [CandidatePair(reason=TIE, detail=f"all {len(ranked)} replies are as good as each other")]
    if pairing == "all":
        return [CandidatePair(one, other) for one, other in combinations(ranked, 2) if one.score > other.score]
    # Of equals the first stays: reversed, it is the last to be put under its score.
    levels = list({one.score: one for one in reversed(ranked)}.values())[::-1]
    if pairing == "adjacent":
        return [CandidatePair(one, other) for one, other in pairwise(levels)]
    return [CandidatePair(levels[0], levels[-1])]


_SIDES = ("chosen", "rejected")
PAIR = pl.Struct(
    dict.fromkeys(_SIDES, TURNS)
    | {f"score_{side}": pl.Float64() for side in _SIDES}
    | {f"model_{side}": pl.String() for side in _SIDES}
    | dict.fromkeys(("reason", "detail"), pl.String())
)
"""What MADE holds."""


def table(made: Sequence[CandidatePair]) -> pl.DataFrame:
    """Pairs as the columns of PAIR."""
    sides: dict[str, pl.Series] = {}
    for side in _SIDES:
        every = [getattr(one, side) for one in made]
        sides[side] = column([None if one is None else one.turns for one in every], "messages")
        sides[f"score_{side}"] = pl.Series([None if one is None else one.given for one in every], dtype=pl.Float64())
        sides[f"model_{side}"] = pl.Series([None if one is None else one.model for one in every], dtype=pl.String())
    sides |= {name: pl.Series([getattr(one, name) for one in made], dtype=pl.String()) for name in ("reason", "detail")}
    return pl.DataFrame({name: sides[name] for name in PAIR.to_schema()})


def one_row_each(rows: pl.DataFrame, made: Iterable[tuple[int, CandidatePair]]) -> pl.DataFrame:
    """The rows that pairs were made of, by their number, each with its pair; a row may come again, or not at all."""
    # By the number alone, which keeps the pairs of a row in their order: two candidates cannot be compared.
    ordered = sorted(made, key=lambda one: one[0])
    return rows[[place for place, _ in ordered]].with_columns(table([one for _, one in ordered]).to_struct(MADE))


def made_parts(prompt: pl.Expr | None, columns: Mapping[str, tuple[str, ...]]) -> Parts:
    """The parts of rows that have MADE."""
    field = pl.col(MADE).struct.field
    aside = tuple((why, pl.when(field("reason") == why).then(field("detail"))) for why in (UNREADABLE, TIE, ALONE))
    return Parts(prompt, field("chosen"), field("rejected"), columns, conversations=True, aside=aside)
