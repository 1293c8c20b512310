"""Which of two replies is the better one: labels, winners, signed strengths and scores, as one number.

The number is 1 for the first reply, -1 for the second, 0 for a tie, null where the cell says nothing that is known.
What a number means is decided by all the values of its column: a 1 beside a 2 is the first, a 1 beside a 0 the second.
"""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import NamedTuple

import polars as pl

from factory.readers.cells.reply_words import in_words, number_in
from factory.readers.cells.values import looked_up
from factory.readers.inputs.opened import UnclearError
from factory.readers.names import GRADES, LETTERS, NUMBERED, RANKS, VERDICTS, Columns, plainly

_STRENGTHS = ("overall_preference", "preference_strength", "strength", "preference")
"""Those of them that may be signed: below 0 the first is better, as in HelpSteer."""
_SIGNED_BESIDE = frozenset(("individual_preference", "preference_statement", "all_preferences_unprocessed"))
"""Columns beside a strength of HelpSteer's, which is signed also where a file has none below 0."""
_ANNOTATOR = re.compile(r"annotator_?\d+")
FLAGS = ("winner_model_a", "winner_model_b")
"""A mark for each reply of the arena's files of 55,000, whose cells are lists of texts written out."""
_TOO = re.compile("_(winner|verdict|preferred|preference|choice)$")
"""How columns are called that may be verdicts too, such as judge_verdict; of these none decides by itself."""
_WAY = "name the column that says it, as in --columns label=…"


class Better(NamedTuple):
    """Which reply of each row is better."""

    sign: pl.Expr
    said: pl.Expr
    """What the row says of it, as text."""
    remarks: tuple[str, ...] = ()


def verdicts_in(columns: Columns, replies: tuple[str, str]) -> tuple[str, ...]:
    """The columns that say which of the replies in two columns is better; none where there is no such column."""
    said = _verdict_columns(columns)
    # Beside two texts a label is as often a class, or whether they are alike.
    if replies[0].startswith("text") and "label" not in columns.named:
        said = tuple(name for name in said if "label" not in name)
    if said:
        return (said[0],)
    # PandaLM has a column for each of those who were asked: the majority decides.
    annotators = tuple(name for name in columns if _ANNOTATOR.fullmatch(plainly(name)))
    flags: tuple[str, ...] = FLAGS if set(FLAGS) <= {*columns} else ()
    # A rank says outright what scores are compared for.
    return annotators or flags or graded(columns, replies, RANKS) or graded(columns, replies, GRADES) or ()


def _verdict_columns(columns: Columns) -> tuple[str, ...]:
    """Every column that is called a verdict: the one that the user names first, then in the order of VERDICTS."""
    named = columns.named.get("label")
    found = [name for role in VERDICTS for name in columns.having(role) if not columns[name].is_nested()]
    return tuple(dict.fromkeys([*([named] if named else []), *columns.answered_first(found)]))


def role_of(names: Sequence[str]) -> str:
    """`score` for what says how much better a reply is, which is kept, `label` for what says which alone."""
    graded = any(names[0].startswith(stem) for stem in (*GRADES, *RANKS))
    return "score" if names[0] in _STRENGTHS[:3] or graded else "label"


def better(frame: pl.LazyFrame, columns: Columns, replies: tuple[str, str]) -> Better:
    """What the columns of `verdicts_in` say. Raises UnclearError for numbers that can be meant in two ways."""
    names = verdicts_in(columns, replies)
    # concat_str is null where any of its parts is; the reason of a rejected row has to say which was empty.
    said = pl.concat_str([pl.col(name).cast(pl.String).fill_null("nothing") for name in names], separator=", ")
    if names == FLAGS:
        first, second = (pl.col(name).cast(pl.Int8, strict=False) for name in names)
        return Better((first - second).fill_null(0), said)
    ranked = names == graded(columns, replies, RANKS)
    if ranked or names == graded(columns, replies, GRADES):
        told = (f"{' and '.join(names)} are ranks: the lower the better",) if ranked else ()
        return Better(_higher(names[::-1] if ranked else names), said, told)
    votes = [_of_column(frame, name, columns, replies) for name in names]
    remarks = tuple(remark for vote in votes for remark in vote.remarks)
    if len(votes) == 1:
        return Better(votes[0].sign, said, (*remarks, *_contradictions(frame, votes[0], columns, replies)))
    # Who said nothing counts for neither; a tie is a verdict too, which a lone vote does not outweigh.
    one, two, tie = (pl.sum_horizontal((vote.sign == way).cast(pl.Int64) for vote in votes) for way in (1, -1, 0))
    most = pl.when(pl.max_horizontal(one, two) > tie).then((one - two).sign()).otherwise(0)
    return Better(most.cast(pl.Int8), said, remarks)


def _higher(names: Sequence[str]) -> pl.Expr:
    """Which of two columns of numbers holds the higher one."""
    first, second = (pl.col(name).cast(pl.Float64, strict=False) for name in names)
    # A NaN is no score: left in, its sign would be NaN too, and neither a tie nor null.
    return (first - second).fill_nan(None).sign().cast(pl.Int8)


def _contradictions(frame: pl.LazyFrame, vote: Better, columns: Columns, replies: tuple[str, str]) -> tuple[str, ...]:
    """A remark for each further verdict column, or pair of scores, that names the other reply in some rows."""
    taken, *others = _verdict_columns(columns) or ("",)
    flat = [name for name in columns if taken and not columns[name].is_nested() and _TOO.search(plainly(name))]
    others += [name for name in flat if name not in (taken, *others, *replies)]
    against: dict[str, pl.Expr] = {}
    for name in others:
        with suppress(UnclearError):  # nothing hangs on a column that is not taken
            other = _of_column(frame, name, columns, replies).sign
            against[name] = (vote.sign * other < 0).sum().alias(name)
    scores = graded(columns, replies, GRADES)
    if taken and scores and not any(columns[name].is_nested() for name in scores):
        name = " and ".join(scores)
        against[name] = (vote.sign * _higher(scores) < 0).sum().alias(name)
    if not against:
        return ()
    counts = frame.select(*against.values(), pl.len().alias("__rows")).collect(engine="streaming").row(0, named=True)
    says, rows = f"{taken} says which reply is better", counts["__rows"]
    verb = {name: "speak for" if name == " and ".join(scores or ()) else "names" for name in against}
    return tuple(
        f"{says}; {name} {verb[name]} the other one in {counts[name]:,} of {rows:,} rows"
        for name in against
        if counts[name]
    )


def graded(columns: Columns, replies: Sequence[str], stems: Sequence[str]) -> tuple[str, ...] | None:
    """The columns, one for each reply, such as score_A or response_A_score: a stem and a reply, or its name's end."""
    for stem in stems:
        for way in ("{stem}_{end}", "{stem}{end}", "{reply}_{stem}"):
            names = tuple(way.format(stem=stem, end=ending_of(reply), reply=reply) for reply in replies)
            if all(name in columns for name in names):
                return names
    return None


def ending_of(reply: str) -> str:
    """What tells a reply's column from the other's: `A` of `response_A`."""
    # Parted at an underscore or before a number: response_A, answer1, response10.
    return re.split(r"_|(?<!\d)(?=\d)", reply)[-1]


def _of_column(frame: pl.LazyFrame, name: str, columns: Columns, replies: tuple[str, str]) -> Better:
    if columns[name] == pl.Boolean:
        raise UnclearError(
            f"the column {name} is true or false, and either can mean the first of {replies[0]} and {replies[1]}; "
            "write 1 for the first and 2 for the second"
        )
    text, seen = _text(name, columns[name]), _seen(frame, name, columns)
    numbers = {value: number for value in seen if (number := number_in(value)) is not None}
    others = {one.lower() for one in columns if one in NUMBERED.difference(LETTERS, replies)}
    if strange := sorted(seen & others):
        says = f"the column {name} names {strange[0]}, which is not one of {replies[0]} and {replies[1]}"
        raise UnclearError(f"{says}; name the replies, as in --columns first=…,second=…,label=…")
    if numbers and replies == LETTERS:
        # Beside two texts called A and B a number is as often a class, or whether they are alike.
        raise UnclearError(f"{name} holds {min(numbers)}, which may be no verdict on A and B; write A, B or tie")
    signs = {value: sign for value in seen if value not in numbers and (sign := in_words(value)) is not None}
    # A cell may name the column of the better reply.
    signs |= {name.lower(): sign for name, sign in zip(replies, (1, -1), strict=True) if name.lower() not in numbers}
    if numbers:
        signs |= {v: s for v, s in _in_numbers(name, numbers, replies, columns).items() if s is not None}
    found = looked_up(text, signs, pl.Int8())
    # A cell may name the winner by its model, where model_a and model_b say whose reply is which.
    models = [f"model_{ending_of(reply)}" for reply in replies]
    if all(model in columns and columns[model] == pl.String for model in models):
        found = _by_name(text, models, found)
    elif not seen & signs.keys():
        says = f"the column {name} holds {min(seen)!r}, which names neither {replies[0]} nor {replies[1]}"
        raise UnclearError(f"{says}; {_WAY}")
    sides = (f"{name}: the left one is {replies[0]}, the right one {replies[1]}",) if {"left", "right"} & seen else ()
    return Better(found, text, (*sides, *_counted(name, {*numbers.values()}, {*signs.values()}, replies)))


def _counted(name: str, values: set[float], signs: set[int | None], replies: tuple[str, str]) -> tuple[str, ...]:
    """A remark on what numbers mean, where they do not start at 1."""
    one, two = replies
    if values and (min(values) < 0 or name in _STRENGTHS[:3]):
        return (f"{name} is signed: below 0 speaks for {one}, above 0 for {two}",)
    if {0, 2} <= values:
        return (f"{name} is counted from 1: 1 is {one}, 2 is {two}, and 0 a tie",)
    from_zero = 0 in values and 0 not in signs and ending_of(one) != "0" and name != "labels"
    return (f"{name} is counted from 0: 0 is {one}, 1 is {two}",) if from_zero else ()


def _by_name(text: pl.Expr, models: Sequence[str], found: pl.Expr) -> pl.Expr:
    """Which reply is better where a cell names the model that wrote it; else what was `found`."""
    first, second = (text == pl.col(model).str.strip_chars().str.to_lowercase() for model in models)
    one, two = (pl.lit(sign, pl.Int8) for sign in (1, -1))
    return pl.when(first & ~second).then(one).when(second & ~first).then(two).otherwise(found)


def _seen(frame: pl.LazyFrame, name: str, columns: Columns) -> set[str]:
    """Every value of a column. UnclearError where there is none."""
    seen: set[str] = set()
    for part in columns.everywhere(name, frame):
        values = part.select(_text(name, part.collect_schema()[name]).unique()).collect(engine="streaming")
        seen.update(values.to_series().drop_nulls())
    if not seen:
        raise UnclearError(f"the column {name}, which is to say which reply is better, is empty; {_WAY}")
    return seen


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    """What a column says, as texts in lower case."""
    # Float32 and Float64 write the same number with other digits.
    if dtype.is_float():
        return pl.col(name).cast(pl.Float64).cast(pl.String)
    return pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase()


def _in_numbers(
    name: str, numbers: dict[str, float], replies: tuple[str, str], columns: Columns
) -> dict[str, int | None]:
    """What each number means, by all of them."""
    values, last = set(numbers.values()), ending_of(replies[0]).lower()
    doubt = _doubt(name, values, last, columns)
    if doubt is not None:
        raise UnclearError(_question(name, values, doubt))
    if min(values) < 0 or name in _STRENGTHS[:3]:
        # HelpSteer 2 and 3 count from -3, the first is much better, to 3.
        return {text: (number < 0) - (number > 0) for text, number in numbers.items()}
    if name == "labels" and values <= {0, 1} and last == "a":
        places = {1.0: 1, 0.0: -1}  # as in SHP: 1 is the first
    elif _ANNOTATOR.fullmatch(plainly(name)) or {0, 2} <= values:
        # A 0 beside a 2 is a tie: places are then counted from 1.
        places = {0.0: 0, 1.0: 1, 2.0: -1}
    elif 0 in values or last == "0":
        places = {0.0: 1, 1.0: -1}
    # AlpacaEval: 1 for the first, 2 for the second, and how likely either is between them.
    elif _between(values):
        return {text: (number < 1.5) - (number > 1.5) for text, number in numbers.items()}
    else:
        places = {1.0: 1, 2.0: -1}
    return {text: places.get(number) for text, number in numbers.items()}


def _doubt(name: str, values: Collection[float], last: str, columns: Columns) -> str | None:
    """Why numbers can be meant in two ways; None where they cannot. `last` is how the first reply's name ends."""
    if min(values) < 0:
        signed = any(word in name for word in ("preference", "strength"))
        # Of a plain `preference` 1 and -1 are no strengths, but may be the first and the second.
        plain = name not in _STRENGTHS[:3] and {*values} <= {-1, 0, 1} and not _SIGNED_BESIDE & {*columns}
        return None if signed and not plain else "a number below 0 can speak for either reply"
    if name in _STRENGTHS[:3]:
        # A part of HelpSteer may hold nobody who preferred the first.
        return None if _SIGNED_BESIDE & {*columns} else "without one below 0 they can be places or strengths"
    if not (_between(values) or {*values} <= {0, 1, 2}):
        return "they can be degrees of which either end speaks for the first reply"
    if _ANNOTATOR.fullmatch(plainly(name)) or (name == "labels" and last == "a"):
        return None
    # All are 1: as a place that is the first, as an index from 0 the second.
    if {*values} == {1} and last == "a":
        return "1 can be the first reply or the second"
    if last == "0":
        return "no reply is called 2" if 2 in values else None
    # Where the replies are called 1 and 2, a 0 beside these in AlpacaFarm's column is a tie.
    if {0, 2} <= {*values} and (name != "preference" or last != "1"):
        return "1 can be the first reply or the second"
    return "0 can be the first reply or a tie" if {*values} == {0} else None


def _between(values: Collection[float]) -> bool:
    """Whether numbers are chances between 1, the first, and 2, the second, as in AlpacaEval."""
    return all(1 <= value <= 2 for value in values)


def _question(name: str, values: Collection[float], doubt: str) -> str:
    shown: Sequence[str] = [f"{value:g}" for value in sorted(values)[:6]]
    return (
        f"the column {name} holds {', '.join(shown)}, so that {doubt}; which is meant? "
        "write 1 for the first, 2 for the second and tie for neither"
    )
