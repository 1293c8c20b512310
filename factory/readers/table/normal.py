"""From the parts of a layout to one normal form: prompt, chosen and rejected, or the reason why not."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from factory.readers.cells.values import is_true, looked_up
from factory.readers.columns.asked import beside_text, system_in, under
from factory.readers.layouts.base import ALONE, TIE, UNREADABLE, Columns, Parts
from factory.readers.messages import (
    BAD_ROLES,
    NOT_TEXT,
    TOOL_TURNS,
    before_last,
    blank,
    joined,
    no_turns,
    out_of_order,
    plain,
    problem_of,
    roles_of,
)
from factory.schema import REJECTED as REJECTED_TABLE

REASON, DETAIL = "__reason", "__detail"
PROMPT, CHOSEN, REJECTED = "__prompt", "__chosen", "__rejected"
_PROBLEM, _DIFFER, _HEAD, _MERGED = "__found", "__differ", "__head", "__merged"
"""Columns that `normalise` adds."""

PROMPTS_DIFFER, EMPTY_PROMPT, IDENTICAL = "prompts_differ", "empty_prompt", "identical"
REPLY_REASONS = ("empty_chosen", "empty_rejected", IDENTICAL, TIE, ALONE)
"""Reasons that speak against the replies alone."""

_SAYS = {
    TOOL_TURNS: "a turn calls a tool or is by one",
    NOT_TEXT: "a turn holds no text, or something beside text",
    BAD_ROLES: "chosen or rejected does not end with a turn of the assistant's",
}


_TIES = ("tie", "is_tie")
"""Columns that say yes where neither reply is the better one, whichever stands where that one would."""
_PLACES = ("<image>", "<video>", "<audio>")


class RejectCase(NamedTuple):
    """A condition under which a row is rejected, with its reason token and what exactly."""

    when: pl.Expr
    reason: str | pl.Expr
    detail: str | pl.Expr | None = None


def verdict(*cases: RejectCase) -> list[pl.Expr]:
    """REASON and DETAIL of the first case that applies; null where none does."""
    reason: pl.Expr = pl.lit(None, dtype=pl.String)
    detail: pl.Expr = pl.lit(None, dtype=pl.String)
    # From the last, since the outermost `when` wins: the first case that applies is to be the reason.
    for case in reversed(cases):
        said_so = pl.lit(case.detail, dtype=pl.String) if not isinstance(case.detail, pl.Expr) else case.detail
        token = pl.lit(case.reason) if isinstance(case.reason, str) else case.reason
        holds = case.when.fill_null(value=False)
        reason, detail = pl.when(holds).then(token).otherwise(reason), pl.when(holds).then(said_so).otherwise(detail)
    return [reason.alias(REASON), detail.alias(DETAIL)]


def complete(parts: Parts, columns: Columns) -> Parts:
    """`parts`, the column with the system message among them also where the layout does not look for one."""
    name = None if parts.columns.get("system") else system_in(columns)
    return parts if name is None else parts._replace(columns={**parts.columns, "system": (name,)}, under=name)


def normalise(frame: pl.LazyFrame, parts: Parts, columns: Columns) -> pl.LazyFrame:
    """`frame` with PROMPT (MESSAGES), CHOSEN, REJECTED (text), and REASON and DETAIL where the row cannot be used."""
    # Columns between the steps: an expression names the one before it several times, and in one they would multiply.
    frame = frame.with_columns(parts.chosen.alias(CHOSEN), parts.rejected.alias(REJECTED))
    if parts.conversations:
        frame = _take_apart(frame, parts.prompt)
    else:
        frame = frame.with_columns(_turns(parts.prompt).alias(PROMPT)).with_columns(
            problem_of(pl.col(PROMPT)).alias(_PROBLEM), pl.lit(value=False).alias(_DIFFER)
        )
    if parts.under is not None:
        # A row without a prompt stays without one: a system message alone asks nothing.
        whole = under(parts.under, columns, pl.col(PROMPT))
        frame = frame.with_columns(pl.when(pl.col(PROMPT).list.len() > 0).then(whole).otherwise(PROMPT).alias(PROMPT))
    frame = frame.with_columns(without_blank_system(pl.col(PROMPT)).alias(PROMPT))
    aside = [RejectCase(why.is_not_null(), reason, why) for reason, why in (*parts.aside, *beside_text(columns))]
    ties = [name for name in _TIES if name in columns and not columns[name].is_nested()]
    aside += [RejectCase(is_true(name), TIE, f"{name} says so") for name in ties]
    return frame.with_columns(verdict(*aside, *_cases())).with_columns(plain(pl.col(PROMPT)).alias(PROMPT))


def without_blank_system(turns: pl.Expr) -> pl.Expr:
    """TURNS without a system turn at their head that says nothing."""
    first = turns.list.first().struct.field
    return (
        pl.when(first("role").eq_missing("system") & blank(first("content"))).then(turns.list.slice(1)).otherwise(turns)
    )


def _turns(prompt: pl.Expr | None) -> pl.Expr:
    return no_turns() if prompt is None else prompt.fill_null(no_turns())


def _take_apart(frame: pl.LazyFrame, prompt: pl.Expr | None) -> pl.LazyFrame:
    """Split whole conversations into prompt and replies, taking into account that the prompt may be there twice."""
    chosen, rejected = _turns(pl.col(CHOSEN)), _turns(pl.col(REJECTED))
    last = [side.list.last().struct.field for side in (chosen, rejected)]
    unanswered = pl.any_horizontal((field("role") != "assistant").fill_null(value=False) for field in last)
    problem = pl.coalesce(
        problem_of(chosen),
        problem_of(rejected),
        problem_of(_turns(prompt)),
        pl.when(unanswered).then(pl.lit(BAD_ROLES)),
    )
    frame = frame.with_columns(
        _turns(prompt).alias(PROMPT),
        before_last(chosen).alias(_HEAD),
        (before_last(chosen) != before_last(rejected)).alias(_DIFFER),
        problem.alias(_PROBLEM),
        *(field("content").alias(name) for field, name in zip(last, (CHOSEN, REJECTED), strict=True)),
    )
    if prompt is None:
        return frame.with_columns(pl.col(_HEAD).alias(PROMPT))
    merged = _merged(pl.col(PROMPT), pl.col(_HEAD))
    frame = frame.with_columns(merged.alias(_MERGED), (pl.col(_DIFFER) | merged.is_null()).alias(_DIFFER))
    return frame.with_columns(_turns(pl.col(_MERGED)).alias(PROMPT))


def _merged(prompt: pl.Expr, head: pl.Expr) -> pl.Expr:
    """The prompt that `prompt`, given by itself, and `head`, the turns with which both replies begin, make; or null."""
    stated, begun = _comparable(prompt), _comparable(head)
    # The head may hold a system message that the prompt given by itself lacks.
    led = head.list.first().struct.field("role").eq_missing("system").cast(pl.Int64)
    length = stated.list.len()
    # At its beginning, behind a system message, or at its end: of a long conversation files give the last turn alone.
    repeated = (begun.list.head(length) == stated) | (begun.list.slice(led, length) == stated)
    repeated = repeated | (begun.list.tail(length) == stated)
    # Or the replies repeat but the end of the prompt.
    covered = stated.list.tail(begun.list.len()) == begun
    # Replies that open with the assistant go on from the prompt, and do not repeat it.
    continued = head.list.first().struct.field("role").eq_missing("assistant")
    # A conversation beside the replies may hold one of them, or another reply, at its end.
    answered = prompt.list.last().struct.field("role").eq_missing("assistant") & (before_last(stated) == begun)
    return (
        pl.when(length == 0)
        .then(head)
        .when(continued)
        .then(joined(prompt, head))
        .when(repeated | answered)
        .then(head)
        .when(covered)
        .then(prompt)
    )


def _comparable(turns: pl.Expr) -> pl.Expr:
    """Each turn as one text, white space around it gone."""
    role, content = (pl.element().struct.field(name).fill_null("") for name in ("role", "content"))
    return turns.list.eval(pl.concat_str(role, pl.lit(":"), content.str.strip_chars()))


def prompt_cases(prompt: pl.Expr, problem: pl.Expr) -> tuple[RejectCase, ...]:
    """Why a prompt, as TURNS, cannot be used; `problem` is a token that has been found in its turns, or null."""
    roles = roles_of(prompt)
    last = prompt.list.last().struct.field("content")
    return (
        RejectCase(problem.is_not_null(), problem, looked_up(problem, _SAYS, pl.String)),
        RejectCase(prompt.list.len() == 0, EMPTY_PROMPT, "there is no turn before the reply"),
        RejectCase(out_of_order(roles), BAD_ROLES, pl.concat_str(pl.lit("the turns are "), roles)),
        RejectCase(blank(last), EMPTY_PROMPT, "the last turn is empty"),
        RejectCase(_gone(last), EMPTY_PROMPT, "the text of the last turn was deleted"),
        RejectCase(_shows(last), NOT_TEXT, "the last turn has the place of a picture or sound, which is not there"),
    )


def _shows(text: pl.Expr) -> pl.Expr:
    """Whether a text has the place of a picture at its head or its end, as LLaVA and LLaMA-Factory write it."""
    bare = text.str.strip_chars()
    ends = (bare.str.starts_with(mark) | bare.str.ends_with(mark) for mark in _PLACES)
    # Anywhere else, as in a question about HTML, it is a text that speaks of it.
    return pl.any_horizontal(ends)


def _gone(text: pl.Expr) -> pl.Expr:
    """Whether a forum says so in a text's place."""
    return text.str.strip_chars().is_in(("[deleted]", "[removed]"))


def _cases() -> tuple[RejectCase, ...]:
    chosen, rejected = pl.col(CHOSEN), pl.col(REJECTED)
    found, differ = prompt_cases(pl.col(PROMPT), pl.col(_PROBLEM)), "chosen and rejected answer different turns"
    return (
        found[0],
        RejectCase(chosen.is_null(), "empty_chosen"),
        RejectCase(rejected.is_null(), "empty_rejected"),
        RejectCase(pl.col(_DIFFER), PROMPTS_DIFFER, differ),
        *found[1:],
        RejectCase(blank(chosen), "empty_chosen"),
        RejectCase(blank(rejected), "empty_rejected"),
        RejectCase(_gone(chosen), "empty_chosen", "its text was deleted"),
        RejectCase(_gone(rejected), "empty_rejected", "its text was deleted"),
        RejectCase(chosen.str.strip_chars() == rejected.str.strip_chars(), IDENTICAL),
    )


READ = "read"
"""What the column `filter` says of them."""


def rejected_rows(rows: pl.LazyFrame, reason: pl.Expr, detail: pl.Expr, columns: Sequence[str]) -> pl.LazyFrame:
    """Filter, reason and detail, then `columns` of the rows."""
    tokens = {"filter": pl.lit(READ), "reason": reason, "detail": detail}
    return rows.select(*(token.cast(pl.String).alias(name) for name, token in tokens.items()), *columns)


def unread_rows(unread: pl.DataFrame, source: str | None) -> pl.LazyFrame:
    """The rows of a file that could not even be parsed."""
    rows = unread.lazy().with_columns(source_of({}, source).alias("source"))
    return rejected_rows(rows, pl.lit(UNREADABLE), pl.col("detail"), ["source", "row"])


def no_rejects() -> pl.LazyFrame:
    """Not a row."""
    return REJECTED_TABLE.empty().lazy()


def source_of(columns: Mapping[str, pl.DataType], source: str | None) -> pl.Expr:
    """A row's own source, or the one given where it has none."""
    if columns.get("source") != pl.String:
        return pl.lit(source, dtype=pl.String)
    return pl.col("source").fill_null(pl.lit(source, dtype=pl.String))
