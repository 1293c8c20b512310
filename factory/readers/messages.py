"""Chat messages in every spelling seen: role or from, content or value, and what makes one unusable."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

import polars as pl
from polars.datatypes import DataTypeClass

from factory.readers.names import ASKING, TEXTS
from factory.schema import MESSAGE, MESSAGES

PROBLEM = "__problem"
"""Field of a turn that holds why it cannot be used, where its text alone would not show it."""
TURN = pl.Struct({"role": pl.String(), "content": pl.String(), PROBLEM: pl.String()})
"""A message as the readers pass it on among themselves."""
TURNS = pl.List(TURN)
ODD = pl.Struct({"json": pl.String()})
"""A cell of a column of texts or messages that is neither, as the JSON it came as: never to be taken for a text."""

PolarsType: TypeAlias = pl.DataType | DataTypeClass
"""A column type, or the bare class of one, as polars gives it for a field of a struct."""

_ROLE_KEYS = ("role", "from")
_TEXT_KEYS = ("content", "value", "text", "parts", "message")
_PART_KEYS = ("text", "value")
_TEXT_PARTS = ("text", "input_text", "output_text")
_TOOL_KEYS = ("tool_calls", "function_call")
ROLES = {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "developer": "system",
}
"""Other names of the roles."""
_THOUGHT_KEYS = ("reasoning_content", "thinking", "reasoning")
_READ = frozenset((*_ROLE_KEYS, *_TEXT_KEYS, *_TOOL_KEYS, *_THOUGHT_KEYS, *TEXTS, *ASKING, "title", "messages", "type"))
"""Keys that are looked for in an object."""
_THINK, _THOUGHT = "<think>\n", "\n</think>\n\n"
"""What stands around a reply's reasoning, before it: as the chat templates of reasoning models write it."""
TOOL_ROLES = ("tool", "function", "observation", "function_call", "function_response", "ipython")
TOOL_TURNS, NOT_TEXT, BAD_ROLES = "tool_turns", "not_text", "bad_roles"

_ALTERNATING = "^(system,)?(user,assistant,)*user$"


def message_kind(raw: Any) -> bool:
    """Whether a JSON value is a chat message."""
    return isinstance(raw, dict) and any(isinstance(raw.get(key), str) for key in _ROLE_KEYS)


def spoken_by(raw: Mapping[str, Any]) -> bool:
    """Whether a chat message is one for sure: it has a text, and a speaker that is known or nothing else beside."""
    told = any(key in raw for key in (*_TEXT_KEYS, *_TOOL_KEYS))
    return told and (turn(raw)["role"] in {*ROLES.values(), *TOOL_ROLES} or len(raw) == len(("role", "content")))


def turn(raw: Mapping[str, Any]) -> dict[str, str | None]:
    """A JSON chat message as a TURN; one that is no text alone keeps, as its content, the JSON it came as."""
    named = next((raw[key] for key in _ROLE_KEYS if isinstance(raw.get(key), str)), None)
    role = None if named is None else ROLES.get(named.lower(), named.lower())
    content = _content(next((raw[key] for key in _TEXT_KEYS if raw.get(key) is not None), None))
    problem = None
    if role in TOOL_ROLES or any(raw.get(key) for key in _TOOL_KEYS):
        # The whole call is kept, so that the rejected row shows what was called.
        problem, content = TOOL_TURNS, json.dumps(raw, ensure_ascii=False)
    elif not isinstance(content, str):
        problem, content = NOT_TEXT, json.dumps(content, ensure_ascii=False)
    else:
        thought = next((raw[key] for key in _THOUGHT_KEYS if isinstance(raw.get(key), str) and raw[key].strip()), None)
        content = content if thought is None else f"{_THINK}{thought.strip()}{_THOUGHT}{content}"
    return {"role": role, "content": content, PROBLEM: problem}


def left_of(raw: Mapping[str, Any]) -> list[str]:
    """The keys of a message, or of another object that is read, which say something that is not."""
    return [key for key, value in raw.items() if key not in _READ and value not in (None, "", [], {})]


def reply_turn(raw: Any) -> dict[str, str | None] | None:
    """The assistant's TURN of an object that names no role, or of a content's parts; None where it is not certain."""
    if isinstance(raw, list) and raw and all(isinstance(part, dict) and "type" in part for part in raw):
        return turn({"role": "assistant", "content": raw})
    if not isinstance(raw, dict) or message_kind(raw):
        return None
    found = [raw[key] for key in (*TEXTS, "value", "message") if raw.get(key) is not None]
    if len(found) != 1 or not isinstance(found[0], str | list | dict):
        return None
    if isinstance(found[0], dict):
        return turn(found[0]) if message_kind(found[0]) else None
    made = turn({**raw, "role": "assistant", "content": found[0]})
    return None if made[PROBLEM] == NOT_TEXT else made


def system_text(raw: Any) -> str | None:
    """The text of a system message that is an object, or a content's parts; None where it is not certain."""
    # A system column is also met as a conversation of one message.
    alone = raw[0] if isinstance(raw, list) and len(raw) == 1 else raw
    told = turn(alone) if message_kind(alone) else reply_turn(alone)
    if told is None:
        told = turn({"role": "system", "content": raw})
    return told["content"] if told[PROBLEM] is None else None


def _content(raw: Any) -> Any:
    """A message's content; parts that are all text are joined, a line break between."""
    if not isinstance(raw, list) or not raw:
        return raw
    texts = [part if isinstance(part, str) else _part(part) for part in raw]
    return raw if None in texts else "\n".join(text for text in texts if text is not None)


def _part(raw: Any) -> str | None:
    """The text of a part of a content, None for a picture and the like."""
    if not isinstance(raw, dict) or raw.get("type", "text") not in _TEXT_PARTS:
        return None
    return next((raw[key] for key in _PART_KEYS if isinstance(raw.get(key), str)), None)


def is_message(dtype: PolarsType | None) -> bool:
    """Whether a column of this type holds chat messages."""
    return isinstance(dtype, pl.Struct) and any(dtype.to_schema().get(key) == pl.String for key in _ROLE_KEYS)


def is_messages(dtype: PolarsType | None) -> bool:
    """Whether a column of this type holds lists of chat messages."""
    # `inner` may be the bare class of a type; that of a Series is always an instance, whose fields can be asked.
    return isinstance(dtype, pl.List) and is_message(pl.Series(dtype=dtype.inner).dtype)


def fields_left(dtype: PolarsType) -> list[str]:
    """The fields of objects in a column of this type that are not read in messages."""
    inner = pl.Series(dtype=dtype.inner if isinstance(dtype, pl.List) else dtype).dtype
    fields = inner.to_schema().items() if isinstance(inner, pl.Struct) else ()
    return [name for name, kind in fields if name not in {*_READ, *ODD.to_schema(), PROBLEM} and kind != pl.Null]


def is_text(dtype: PolarsType | None) -> bool:
    """Whether a column of this type holds texts."""
    return dtype == pl.String


def turns_of(name: str, dtype: pl.DataType) -> pl.Expr:
    """Column `name`, a message or a list of them, as TURNS."""
    if isinstance(dtype, pl.List):
        inner = pl.Series(dtype=dtype.inner).dtype
        assert isinstance(inner, pl.Struct)
        return pl.col(name) if inner == TURN else pl.col(name).list.eval(_turn(pl.element(), inner))
    assert isinstance(dtype, pl.Struct)
    one = pl.col(name) if dtype == TURN else _turn(pl.col(name), dtype)
    return pl.when(pl.col(name).is_not_null()).then(pl.concat_list(one))


def _turn(message: pl.Expr, dtype: pl.Struct) -> pl.Expr:
    fields = dtype.to_schema()
    roles = [message.struct.field(key) for key in _ROLE_KEYS if fields.get(key) == pl.String]
    texts = [_text(message.struct.field(key), fields[key]) for key in _TEXT_KEYS if key in fields]
    role = pl.coalesce(roles).str.to_lowercase().replace(ROLES)
    content = pl.coalesce(*texts, pl.lit(None, dtype=pl.String))
    # From the last, since the outermost `when` wins: the first key that says something is to.
    for key in reversed([key for key in _THOUGHT_KEYS if fields.get(key) == pl.String]):
        thought = message.struct.field(key).str.strip_chars()
        thinking = pl.concat_str(pl.lit(_THINK), thought, pl.lit(_THOUGHT), content)
        content = pl.when(blank(thought)).then(content).otherwise(thinking)
    tool = role.is_in(TOOL_ROLES).fill_null(value=False)
    for key in _TOOL_KEYS:
        tool = tool | _filled(message, key, fields.get(key))
    problem = pl.when(tool).then(pl.lit(TOOL_TURNS)).when(content.is_null()).then(pl.lit(NOT_TEXT))
    return pl.struct(role.alias("role"), content.alias("content"), problem.alias(PROBLEM))


def _text(content: pl.Expr, dtype: PolarsType) -> pl.Expr:
    """The text of a content: itself, or its parts where all of them are text."""
    if dtype == pl.String:
        return content
    inner = pl.Series(dtype=dtype.inner).dtype if isinstance(dtype, pl.List) else None
    if inner == pl.String:
        return content.list.join("\n")
    fields = inner.to_schema() if isinstance(inner, pl.Struct) else {}
    texts = [pl.element().struct.field(key) for key in _PART_KEYS if fields.get(key) == pl.String]
    if not texts:
        return pl.lit(None, dtype=pl.String)
    told = pl.coalesce(texts)
    if fields.get("type") == pl.String:
        told = pl.when(pl.element().struct.field("type").fill_null("text").is_in(_TEXT_PARTS)).then(told)
    each = content.list.eval(told)
    # list.join passes over nulls: a picture between two texts would be lost in silence.
    whole = each.list.eval(pl.element().is_not_null()).list.all()
    return pl.when(whole).then(each.list.join("\n"))


def _filled(message: pl.Expr, key: str, dtype: PolarsType | None) -> pl.Expr:
    if dtype is None or dtype == pl.Null:
        return pl.lit(value=False)
    value = message.struct.field(key)
    return (value.list.len() > 0).fill_null(value=False) if isinstance(dtype, pl.List) else value.is_not_null()


def said(role: str, text: pl.Expr) -> pl.Expr:
    """A list of the one turn in which `role` says `text`, or null where the text is null."""
    nothing = pl.lit(None, dtype=pl.String).alias(PROBLEM)
    # With its schema, so that an empty column, whose type is Null, makes turns like any other.
    one = pl.struct(pl.lit(role).alias("role"), text.alias("content"), nothing, schema=TURN.to_schema())
    return pl.when(text.is_not_null()).then(pl.concat_list(one))


@cache
def no_turns() -> pl.Expr:
    """TURNS of a conversation without any; kept, since an empty list of structs is slow to make and often needed."""
    return pl.lit([], dtype=TURNS)


def joined(*parts: pl.Expr) -> pl.Expr:
    """Lists of turns one after the other; a null counts as no turns."""
    # concat_list is null where any of its parts is.
    return pl.concat_list([part.fill_null(no_turns()) for part in parts])


def before_last(turns: pl.Expr) -> pl.Expr:
    """A conversation without its last turn."""
    # Lengths are unsigned: of an empty list, length - 1 would be four billion.
    return turns.list.slice(0, (turns.list.len().cast(pl.Int64) - 1).clip(0))


def blank(text: pl.Expr) -> pl.Expr:
    """Whether a text is null or nothing but white space."""
    return (text.str.strip_chars().str.len_bytes() == 0).fill_null(value=True)


def plain(turns: pl.Expr) -> pl.Expr:
    """TURNS as the MESSAGES of the tables."""
    fields = [pl.element().struct.field(name) for name in MESSAGE.to_schema()]
    return turns.list.eval(pl.struct(fields)).cast(MESSAGES)


def problem_of(turns: pl.Expr) -> pl.Expr:
    """The first problem among the turns, or null."""
    return turns.list.eval(pl.element().struct.field(PROBLEM).drop_nulls()).list.first()


def roles_of(turns: pl.Expr) -> pl.Expr:
    """The roles of the turns, joined by commas; a missing one reads `?`."""
    return turns.list.eval(pl.element().struct.field("role").fill_null("?")).list.join(",")


def out_of_order(roles: pl.Expr) -> pl.Expr:
    """Whether roles, as `roles_of` joins them, are not a system message at most, then user, assistant, …, user."""
    return ~roles.str.contains(_ALTERNATING).fill_null(value=False)
