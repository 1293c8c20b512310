"""Chat messages in every spelling seen: role or from, content or value, and what makes one unusable."""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import polars as pl
from polars.datatypes import DataTypeClass

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
_TEXT_KEYS = ("content", "value")
_TOOL_KEYS = ("tool_calls", "function_call")
ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "chatgpt": "assistant"}
"""Other names of the roles."""
TOOL_ROLES = ("tool", "function", "observation", "function_call", "function_response", "ipython")
TOOL_TURNS, NOT_TEXT, BAD_ROLES = "tool_turns", "not_text", "bad_roles"

_ALTERNATING = "^(system,)?(user,assistant,)*user$"


def message_kind(raw: Any) -> bool:
    """Whether a JSON value is a chat message."""
    return isinstance(raw, dict) and any(isinstance(raw.get(key), str) for key in _ROLE_KEYS)


def turn(raw: Mapping[str, Any]) -> dict[str, str | None]:
    """A JSON chat message as a TURN; one that is no text alone keeps, as its content, the JSON it came as."""
    named = next((raw[key] for key in _ROLE_KEYS if isinstance(raw.get(key), str)), None)
    role = None if named is None else ROLES.get(named.lower(), named.lower())
    content = next((raw[key] for key in _TEXT_KEYS if raw.get(key) is not None), None)
    problem = None
    if role in TOOL_ROLES or any(raw.get(key) for key in _TOOL_KEYS):
        problem, content = TOOL_TURNS, json.dumps(raw, ensure_ascii=False)
    elif not isinstance(content, str):
        problem, content = NOT_TEXT, json.dumps(content, ensure_ascii=False)
    return {"role": role, "content": content, PROBLEM: problem}


def is_message(dtype: PolarsType | None) -> bool:
    """Whether a column of this type holds chat messages."""
    return isinstance(dtype, pl.Struct) and any(dtype.to_schema().get(key) == pl.String for key in _ROLE_KEYS)


def is_messages(dtype: PolarsType | None) -> bool:
    """Whether a column of this type holds lists of chat messages."""
    return isinstance(dtype, pl.List) and is_message(pl.Series(dtype=dtype.inner).dtype)


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
    texts = [message.struct.field(key) for key in _TEXT_KEYS if fields.get(key) == pl.String]
    role = pl.coalesce(roles).str.to_lowercase().replace(ROLES)
    content = pl.coalesce(texts) if texts else pl.lit(None, dtype=pl.String)
    tool = role.is_in(TOOL_ROLES).fill_null(value=False)
    for key in _TOOL_KEYS:
        tool = tool | _filled(message, key, fields.get(key))
    problem = pl.when(tool).then(pl.lit(TOOL_TURNS)).when(content.is_null()).then(pl.lit(NOT_TEXT))
    return pl.struct(role.alias("role"), content.alias("content"), problem.alias(PROBLEM))


def _filled(message: pl.Expr, key: str, dtype: PolarsType | None) -> pl.Expr:
    if dtype is None or dtype == pl.Null:
        return pl.lit(value=False)
    value = message.struct.field(key)
    return (value.list.len() > 0).fill_null(value=False) if isinstance(dtype, pl.List) else value.is_not_null()


def said(role: str, text: pl.Expr) -> pl.Expr:
    """A list of the one turn in which `role` says `text`, or null where the text is null."""
    nothing = pl.lit(None, dtype=pl.String).alias(PROBLEM)
    one = pl.struct(pl.lit(role).alias("role"), text.alias("content"), nothing, schema=TURN.to_schema())
    return pl.when(text.is_not_null()).then(pl.concat_list(one))


def joined(*parts: pl.Expr) -> pl.Expr:
    """Lists of turns one after the other; a null counts as no turns."""
    empty = pl.lit([], dtype=TURNS)
    return pl.concat_list([part.fill_null(empty) for part in parts])


def under_system(columns: Mapping[str, pl.DataType], turns: pl.Expr) -> pl.Expr:
    """`turns` below the text of the column `system`, where there is one and they do not begin with one of their own."""
    if not is_text(columns.get("system")):
        return turns
    own = turns.list.first().struct.field("role").eq_missing("system")
    return joined(said("system", pl.when(~blank(pl.col("system")) & ~own).then(pl.col("system"))), turns)


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
