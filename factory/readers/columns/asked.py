"""Where a row's prompt lies: every column that belongs to it, joined as turns."""

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import polars as pl

from factory.readers.cells.objects import is_object, turns_within
from factory.readers.cells.records import by_cell
from factory.readers.cells.transcripts import asked as asked_in
from factory.readers.cells.transcripts import is_open, spaced
from factory.readers.messages import (
    NOT_TEXT,
    PROBLEM,
    TOOL_TURNS,
    TURNS,
    PolarsType,
    blank,
    is_message,
    is_messages,
    is_text,
    joined,
    no_turns,
    said,
    turns_of,
)
from factory.readers.names import REQUESTS, Columns

_ROUNDS = pl.List(pl.List(pl.String))
_TEXTS = pl.List(pl.String)
_NOTHING = pl.List(pl.Null)
_LEADING = ("instruction",)
"""Columns whose text comes before what other columns ask."""
_CHANCE = 20
_EMPTY = ("", "[]", "{}", "null")


class FoundPrompt(NamedTuple):
    """The prompt of each row."""

    turns: pl.Expr
    """TURNS, null where the row has none."""
    columns: dict[str, tuple[str, ...]]
    """The columns it is made of, by role: prompt, system."""
    talked: pl.Expr | None
    """Whether a row's prompt is a conversation, where that differs from row to row."""
    spoken: bool
    """Some column has prompts that are conversations."""
    given: pl.Expr
    """Whether the row has a prompt, be it an empty one."""
    bare: pl.Expr | None = None
    """`turns` without the system message that a column has, where it was added."""


def is_texty(dtype: PolarsType | None) -> bool:
    """Whether a column of this type can be read as texts; an empty one can."""
    return dtype in (pl.String, pl.Binary, pl.Null) or isinstance(dtype, pl.Categorical | pl.Enum)


def text_in(name: str, dtype: PolarsType | None) -> pl.Expr:
    """Column `name` as texts; bytes that are no text are null."""
    if dtype == pl.Binary:
        return by_cell(pl.col(name), _utf8, "text")
    return pl.col(name) if is_text(dtype) else pl.col(name).cast(pl.String)


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def talks(columns: Columns) -> list[str]:
    """The columns whose cells are a prompt of several messages, the first to look in first."""
    named = [*columns.having("prompt"), *columns.having("conversation")]
    leading = _leading(columns)
    found = [name for name in named if is_messages(columns[name]) or (name == leading and is_message(columns[name]))]
    # Without a prompt of its own, a context of messages is the conversation; beside one it is what came before.
    if found or any(is_texty(columns[name]) for name in columns.having("prompt")):
        return found[:1] if found[:1] == [leading] else found
    rest = [*columns.having("context"), *columns.having("history")]
    return [name for name in rest if is_messages(columns[name])]


def asked(columns: Columns) -> FoundPrompt | None:
    """The prompt of each row; None where no column can hold one.

    A conversation is taken as it is, the text in `prompt` before one. Texts are joined as LLaMA-Factory does: the
    question, a line break, its input or context. Earlier rounds go before, the system message before everything.
    Where the column `prompt` is empty the row has no prompt, whatever stands in others.
    """
    spoken = talks(columns)
    texts = _questions(columns)
    extras = [name for name in columns.having("context") if is_texty(columns[name])]
    lists = [name for name in columns.having("prompt") if columns[name] == _TEXTS]
    objects = [name for name in columns.having("prompt") if is_object(columns[name])]
    if not (spoken or texts or extras or lists or objects):
        known = [*columns.having("context"), *(name for name in REQUESTS if name in columns)]
        objects = [name for name in known if is_object(columns[name]) or is_text(columns[name])]
    if not (spoken or texts or extras or lists or objects):
        return None
    if _leading(columns) in spoken:  # it alone is the prompt, row by row, and what stands beside it stays there
        texts, extras, lists, objects = [], [], [], []
    # Everything below is null in a row that has nothing of the kind, so that coalesce takes what each row has.
    text = _joined_text(columns, texts, extras)
    earlier = _earlier(columns, spoken) if texts or extras else []
    rounds = joined(*(_rounds(name, columns) for name in earlier), _of_text(text)) if earlier else _of_text(text)
    said_so = [turns_of(name, columns[name]) for name in spoken]
    written = [pl.when(text.is_not_null()).then(rounds)] if texts or extras else []
    # A text in `prompt` wins over a conversation beside it; one in `instruction` or `question` does not.
    first = not {columns.named.get("prompt"), "prompt"}.isdisjoint(texts)
    every = [*written, *said_so] if first else [*said_so, *written]
    every += [_single(name) for name in lists] + [turns_within(name, columns[name]) for name in objects]
    stated = _stated(columns)
    alone = len({*spoken, *texts, *extras, *lists, *objects}) < 2  # the column prompt itself: null where it is null
    turns = pl.coalesce(every) if stated is None or alone else pl.when(stated).then(pl.coalesce(every))
    system = system_in(columns)
    any_talk = pl.any_horizontal(pl.col(name).is_not_null() for name in spoken) if spoken else pl.lit(value=False)
    any_given = pl.any_horizontal(pl.col(name).is_not_null() for name in [*spoken, *texts, *extras, *lists, *objects])
    used = [*texts, *extras, *earlier, *lists] if first else [*spoken, *texts, *([] if spoken else extras), *earlier]
    return FoundPrompt(
        under(system, columns, turns) if system else turns,
        {"prompt": tuple(dict.fromkeys([*used, *lists, *objects])), "system": (system,) if system else ()},
        (any_talk & text.is_null() if first else any_talk) if spoken and written else None,
        bool(spoken),
        any_given if stated is None else stated,
        turns,
    )


def _questions(columns: Columns) -> list[str]:
    """The columns of texts that ask, an instruction first; without any, the history, as in SHP."""
    found = [name for name in columns.having("prompt") if is_texty(columns[name])]
    # chat_history and its like came, by their names, before a question that is somewhere else.
    alone = [name for name in columns.having("history") if name in ("history", columns.named.get("history"))]
    return sorted(found, key=lambda name: name not in _LEADING) or [n for n in alone if is_texty(columns[n])]


def _leading(columns: Columns) -> str | None:
    """The column `prompt`, or the one that the user names for it."""
    name = columns.first("prompt")
    return name if name in ("prompt", columns.named.get("prompt")) else None


def _stated(columns: Columns) -> pl.Expr | None:
    """Whether the leading column holds something; None without one."""
    name = _leading(columns)
    if name is None:
        return None
    # An empty prompt is no prompt, and must not be filled in from another column.
    length = {pl.String: pl.col(name).str.len_bytes(), pl.List: pl.col(name).list.len()}.get(columns[name].base_type())
    return pl.col(name).is_not_null() if length is None else (length > 0).fill_null(value=False)


def _earlier(columns: Columns, spoken: Sequence[str]) -> list[str]:
    """Columns with the rounds before the question."""
    names = [name for name in (*columns.having("history"), *columns.having("context")) if name not in spoken]
    return [name for name in names if columns[name] in (_ROUNDS, _NOTHING) or is_messages(columns[name])]


def _rounds(name: str, columns: Columns) -> pl.Expr:
    if columns[name] == _NOTHING:
        return no_turns()
    if columns[name] != _ROUNDS:
        return turns_of(name, columns[name])
    # null_on_oob: a round may lack its answer.
    ask, answer = (pl.element().list.get(place, null_on_oob=True).fill_null("") for place in (0, 1))
    rounds = pl.concat_list(said("user", ask), said("assistant", answer))
    return pl.col(name).list.eval(rounds.explode()).cast(TURNS)


def _joined_text(columns: Columns, texts: Sequence[str], extras: Sequence[str]) -> pl.Expr:
    """The question and what belongs to it, a line break between; null where there is neither."""
    questions = [text_in(name, columns[name]) for name in texts]
    text = questions[0] if questions else pl.lit(None, dtype=pl.String)
    for more in questions[1:]:
        text = _both(text, more)
    template = _is_template(questions)
    for name in extras:
        extra = text_in(name, columns[name])
        # A filled template holds its context; a word or two may be there by chance.
        sure = template | (extra.str.len_chars() > _CHANCE)
        held = text.str.contains(extra.str.strip_chars(), literal=True) & sure
        both = pl.when(held).then(text).otherwise(pl.concat_str(text, pl.lit("\n"), extra))
        text = pl.when(blank(extra)).then(text.fill_null(extra)).when(blank(text)).then(extra).otherwise(both)
    return text


def _is_template(questions: Sequence[pl.Expr]) -> pl.Expr:
    """Whether one of several questions holds a shorter one, as a template does that has been filled in."""
    # By the columns themselves: what they are joined to is long, and would be planned once more for each name of it.
    holds = (
        ~blank(one) & (one.str.len_bytes() < other.str.len_bytes()) & other.str.contains(one, literal=True)
        for one, other in permutations([question.str.strip_chars() for question in questions], 2)
    )
    return pl.any_horizontal(pl.lit(value=False), *holds)


def _both(text: pl.Expr, more: pl.Expr) -> pl.Expr:
    """Two texts, a line break between; the longer one alone where it holds the other, as a filled template does."""
    one, other = text.str.strip_chars(), more.str.strip_chars()
    return (
        # literal=True: a question may read as a regular expression.
        pl.when(blank(more) | one.str.contains(other, literal=True))
        .then(text.fill_null(more))
        .when(blank(text) | other.str.contains(one, literal=True))
        .then(more)
        .otherwise(pl.concat_str(text, pl.lit("\n"), more))
    )


def _of_text(text: pl.Expr) -> pl.Expr:
    text = spaced(text)
    return pl.when(is_open(text)).then(asked_in(text)).otherwise(said("user", text))


def _single(name: str) -> pl.Expr:
    """A list of one text as that text; one of several is not known to be turns, and is no text."""
    told = pl.col(name).list.first()
    several = pl.struct(pl.lit("user").alias("role"), told.alias("content"), pl.lit(NOT_TEXT).alias(PROBLEM))
    return pl.when(pl.col(name).list.len() > 1).then(pl.concat_list(several)).otherwise(said("user", told))


def system_in(columns: Columns) -> str | None:
    """The column with the system message; None where there is none."""
    return next((name for name in columns.having("system") if is_texty(columns[name])), None)


def under(name: str, columns: Columns, turns: pl.Expr) -> pl.Expr:
    """`turns` below the system message in column `name`, unless they begin with one of their own."""
    text = text_in(name, columns[name])
    # A conversation with a system message of its own was meant to be asked under that one.
    own = turns.list.first().struct.field("role").eq_missing("system")
    return joined(said("system", pl.when(~blank(text) & ~own & turns.is_not_null()).then(text)), turns)


def reply(columns: Columns, name: str) -> pl.Expr:
    """A reply's column: texts as texts, below the steps that came before it; messages as TURNS."""
    dtype = columns[name]
    if is_message(dtype) or is_messages(dtype):
        return turns_of(name, dtype)
    text = text_in(name, dtype)
    # Step-DPO: both replies go on from the same first steps, which belong to each.
    steps = columns.first("steps")
    return pl.concat_str(pl.col(steps).fill_null(""), text) if steps and is_text(columns[steps]) else text


def kind_of(dtype: PolarsType | None) -> str | None:
    """What a reply's column holds: text, message, messages, texts, or None for nothing that is a reply."""
    if is_texty(dtype):
        return "text"
    if dtype == _TEXTS:
        return "texts"
    return "message" if is_message(dtype) else "messages" if is_messages(dtype) else None


class Replies(NamedTuple):
    """The columns of the two replies, and what both of them hold."""

    chosen: str
    rejected: str
    kind: str


def replies(columns: Columns) -> Replies | None:
    """The columns chosen and rejected, whatever they are called, where both hold the same kind of replies.

    None where the user names a label as well, which is to say which of the two is the better one.
    """
    if "label" in columns.named:
        return None
    chosen, rejected = columns.first("chosen"), columns.first("rejected")
    if chosen is None or rejected is None:
        return None
    kind = kind_of(columns[chosen])
    return Replies(chosen, rejected, kind) if kind and kind == kind_of(columns[rejected]) else None


def beside_text(columns: Columns) -> list[tuple[str, pl.Expr]]:
    """Reasons and details, null where they do not apply: pictures, tools, and bytes that are no text."""
    found: list[tuple[str, pl.Expr]] = []
    # A column of bytes is what some writers of Parquet make of texts.
    for name in (name for role in ("prompt", "chosen", "rejected") for name in columns.having(role)):
        if columns[name] == pl.Binary:
            broken = pl.col(name).is_not_null() & text_in(name, columns[name]).is_null()
            found.append((NOT_TEXT, pl.when(broken).then(pl.lit(f"the column {name} holds bytes that are no UTF-8"))))
    for role, reason in (("media", NOT_TEXT), ("tools", TOOL_TURNS)):
        for name in columns.having(role):
            filled = _filled(name, columns[name])
            found.append((reason, pl.when(filled).then(pl.lit(f"the column {name} holds something beside text"))))
    return found


def _filled(name: str, dtype: pl.DataType) -> pl.Expr:
    if is_text(dtype):
        return ~pl.col(name).str.strip_chars().is_in(_EMPTY)
    return pl.col(name).list.len() > 0 if isinstance(dtype, pl.List) else pl.col(name).is_not_null()
