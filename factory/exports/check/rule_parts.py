"""What rules are made of: a small function for each thing that the readers of a format ask, in words to be shown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from factory.identity import pair_id, prompt_id

Cells = Mapping[str, Any]


class Problem(NamedTuple):
    """A broken rule."""

    file: Path
    row: int | None
    """From 1; None where the rule is about the folder."""
    rule: str
    """What the format asks for, and who asks."""
    found: str
    """What is there instead."""

    def __str__(self) -> str:
        place = f"{self.file}: row {self.row}" if self.row else str(self.file)
        return f"{place}: {self.found}, but {self.rule}"


class FormatRule(NamedTuple):
    """A rule: what it asks, and what a row has instead (None where it keeps the rule)."""

    text: str
    broken: Callable[[Cells], str | None]


def kind_of(value: object) -> str:
    """What a value is, in a word."""
    return "missing" if value is None else f"{type(value).__name__}"


def has_columns(*names: str) -> FormatRule:
    """The columns are there."""

    def broken(cells: Cells) -> str | None:
        absent = [name for name in names if name not in cells]
        return f"there is no column {absent[0]} (there are {', '.join(map(str, cells))})" if absent else None

    return FormatRule(f"the format has the columns {', '.join(names)}", broken)


def is_text(name: str, who: str, *, empty: bool = False, null: bool = False) -> FormatRule:
    """A column is text."""

    def broken(cells: Cells) -> str | None:
        value = cells.get(name)
        if value is None and null:
            return None
        if not isinstance(value, str):
            return f"{name} is {kind_of(value)}"
        return f"{name} is empty" if not value.strip() and not empty else None

    return FormatRule(f"{name} is text{'' if empty or null else ' and not empty'} ({who})", broken)


def is_flag(name: str, who: str) -> FormatRule:
    """A column is true or false."""
    text = f"{name} is true or false ({who})"
    return FormatRule(text, lambda row: None if isinstance(row[name], bool) else f"{name} is {kind_of(row[name])}")


def not_there(names: tuple[str, ...], who: str) -> FormatRule:
    """No column has one of the names."""
    text = f"no column is called {' or '.join(names)}: {who}"
    return FormatRule(text, lambda row: next((f"there is a column {name}" for name in names if name in row), None))


def message_problem(value: object, name: str) -> str | None:
    """What is wrong with a list of messages, if anything."""
    if not isinstance(value, list):
        return f"{name} is {kind_of(value)}"
    if not value:
        return f"{name} is an empty list"
    for position, turn in enumerate(value, 1):
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            return f"turn {position} of {name} has no role"
        if not isinstance(turn.get("content"), str):
            return f"the content of turn {position} of {name} is {kind_of(turn.get('content'))}"
    return None


def are_messages(name: str) -> FormatRule:
    """A column is a list of messages."""
    text = f"{name} is a list of messages with role and content as text (TRL, OpenRLHF --apply_chat_template)"
    return FormatRule(text, lambda cells: message_problem(cells.get(name), name))


def roles_in(cells: Cells, name: str) -> list[str]:
    """The roles of a column of messages."""
    return [turn["role"] for turn in cells[name]]


def alternates(name: str, *, system: bool = False) -> FormatRule:
    """A column of messages goes from user to assistant and so on."""

    def broken(cells: Cells) -> str | None:
        roles = roles_in(cells, name)
        led = system and roles[0] == "system"
        for position, role in enumerate(roles[led:], 1):
            expected = "user" if position % 2 else "assistant"
            if role != expected:
                return f"turn {position + led} of {name} is {role} where {expected} is due"
        return None

    why = "after any system message" if system else "with no system message (rewardbench gives roles by position)"
    text = f"{name} goes user, assistant, user, …, {why}"
    return FormatRule(text, broken)


def ends(name: str, role: str, why: str) -> FormatRule:
    """A column of messages ends with a role."""

    def broken(cells: Cells) -> str | None:
        last = roles_in(cells, name)[-1]
        return None if last == role else f"{name} ends with a turn of {last}"

    return FormatRule(f"{name} ends with a turn of {role} ({why})", broken)


def same_prompt(cells: Cells) -> str | None:
    """Where the two conversations part too early."""
    # Roles and texts alone: messages may carry keys of their own.
    asked = [[(turn["role"], turn["content"]) for turn in cells[side][:-1]] for side in ("chosen", "rejected")]
    return None if asked[0] == asked[1] else "chosen and rejected part before the last turn"


def has_reply(name: str) -> FormatRule:
    """The reply is not empty."""
    found = f"the reply of {name} is empty"
    return FormatRule(f"{name} has a reply", lambda cells: None if cells[name][-1]["content"].strip() else found)


def different(cells: Cells) -> str | None:
    """Whether the two replies are the same."""
    return "chosen and rejected are the same" if cells["chosen"] == cells["rejected"] else None


def one_reply(name: str) -> FormatRule:
    """A column is one assistant message."""

    def broken(cells: Cells) -> str | None:
        roles = roles_in(cells, name)
        return None if roles == ["assistant"] else f"{name} has the turns {', '.join(roles)}"

    return FormatRule(
        f"{name} is one assistant message and the prompt is in prompt alone (TRL would double it)", broken
    )


def history(cells: Cells) -> str | None:
    """What is wrong with the rounds before the question."""
    history = cells.get("history")
    if history is None:
        return None
    if not isinstance(history, list):
        return f"history is {kind_of(history)}"
    for position, turn in enumerate(history, 1):
        if not (isinstance(turn, list) and len(turn) == 2 and all(isinstance(part, str) for part in turn)):
            return f"entry {position} of history is not two texts"
    return None


def ids(cells: Cells) -> str | None:
    """Whether the ids are the content hashes."""
    prompt = cells["prompt"]
    if cells["prompt_id"] != prompt_id(prompt):
        return "prompt_id is not that of the prompt"
    same = cells["pair_id"] == pair_id(prompt, cells["chosen"], cells["rejected"])
    return None if same else "pair_id is not that of prompt, chosen and rejected"
