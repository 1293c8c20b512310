"""The rules of each format as its consumers have them, one small function per rule, in words that can be shown."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from factory.identity import pair_id, prompt_id
from factory.json_text import parsed

Cells = Mapping[str, Any]


class FormatRule(NamedTuple):
    """A rule: what it asks, and what a row has instead (None where it keeps the rule)."""

    text: str
    broken: Callable[[Cells], str | None]


class FolderProblem(NamedTuple):
    """A rule about files rather than rows that is broken."""

    file: Path
    rule: str
    found: str


def _name(value: object) -> str:
    return "missing" if value is None else f"{type(value).__name__}"


def _columns(*names: str) -> FormatRule:
    def broken(cells: Cells) -> str | None:
        absent = [name for name in names if name not in cells]
        return f"there is no column {absent[0]} (there are {', '.join(map(str, cells))})" if absent else None

    return FormatRule(f"the format has the columns {', '.join(names)}", broken)


def _text(name: str, who: str, *, empty: bool = False, null: bool = False) -> FormatRule:
    def broken(cells: Cells) -> str | None:
        value = cells.get(name)
        if value is None and null:
            return None
        if not isinstance(value, str):
            return f"{name} is {_name(value)}"
        return f"{name} is empty" if not value.strip() and not empty else None

    return FormatRule(f"{name} is text{'' if empty or null else ' and not empty'} ({who})", broken)


def _absent(names: tuple[str, ...], who: str) -> FormatRule:
    def broken(cells: Cells) -> str | None:
        there = [name for name in names if name in cells]
        return f"there is a column {there[0]}" if there else None

    return FormatRule(f"no column is called {' or '.join(names)}: {who}", broken)


def _message_problem(value: object, name: str) -> str | None:
    if not isinstance(value, list):
        return f"{name} is {_name(value)}"
    if not value:
        return f"{name} is an empty list"
    for position, turn in enumerate(value, 1):
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            return f"turn {position} of {name} has no role"
        if not isinstance(turn.get("content"), str):
            return f"the content of turn {position} of {name} is {_name(turn.get('content'))}"
    return None


def _messages(name: str) -> FormatRule:
    text = f"{name} is a list of messages with role and content as text (TRL, OpenRLHF --apply_chat_template)"
    return FormatRule(text, lambda cells: _message_problem(cells.get(name), name))


def _roles(cells: Cells, name: str) -> list[str]:
    return [turn["role"] for turn in cells[name]]


def _alternates(name: str) -> FormatRule:
    def broken(cells: Cells) -> str | None:
        for position, role in enumerate(_roles(cells, name), 1):
            expected = "user" if position % 2 else "assistant"
            if role != expected:
                return f"turn {position} of {name} is {role} where {expected} is due"
        return None

    text = f"{name} goes user, assistant, user, …, with no system message (rewardbench gives roles by position)"
    return FormatRule(text, broken)


def _ends(name: str, role: str, why: str) -> FormatRule:
    def broken(cells: Cells) -> str | None:
        last = _roles(cells, name)[-1]
        return None if last == role else f"{name} ends with a turn of {last}"

    return FormatRule(f"{name} ends with a turn of {role} ({why})", broken)


def _same_prompt(cells: Cells) -> str | None:
    chosen, rejected = cells["chosen"][:-1], cells["rejected"][:-1]
    if [(turn["role"], turn["content"]) for turn in chosen] == [(turn["role"], turn["content"]) for turn in rejected]:
        return None
    return "chosen and rejected part before the last turn"


def _not_empty(name: str) -> FormatRule:
    def broken(cells: Cells) -> str | None:
        return None if cells[name][-1]["content"].strip() else f"the reply of {name} is empty"

    return FormatRule(f"{name} has a reply", broken)


def _different(cells: Cells) -> str | None:
    return "chosen and rejected are the same" if cells["chosen"] == cells["rejected"] else None


def _one_reply(name: str) -> FormatRule:
    def broken(cells: Cells) -> str | None:
        roles = _roles(cells, name)
        return None if roles == ["assistant"] else f"{name} has the turns {', '.join(roles)}"

    return FormatRule(
        f"{name} is one assistant message and the prompt is in prompt alone (TRL would double it)", broken
    )


def _history(cells: Cells) -> str | None:
    history = cells.get("history")
    if history is None:
        return None
    if not isinstance(history, list):
        return f"history is {_name(history)}"
    for position, turn in enumerate(history, 1):
        if not (isinstance(turn, list) and len(turn) == 2 and all(isinstance(part, str) for part in turn)):
            return f"entry {position} of history is not two texts"
    return None


def _ids(cells: Cells) -> str | None:
    prompt = cells["prompt"]
    if cells["prompt_id"] != prompt_id(prompt):
        return "prompt_id is not that of the prompt"
    same = cells["pair_id"] == pair_id(prompt, cells["chosen"], cells["rejected"])
    return None if same else "pair_id is not that of prompt, chosen and rejected"


_TRL = ("tools", "chat_template_kwargs", "messages", "completion", "images", "image")
_NOT_READ = _absent(_TRL, "TRL reads them")
_DIFFER = FormatRule("the two replies differ", _different)
_PAIR = (_text("chosen", "a reply"), _text("rejected", "a reply"), _DIFFER)


def _conversations(cells: Cells) -> str | None:
    turns = cells["conversations"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return f"conversations is {_name(turns)}"
    tags = [turn.get("from") for turn in turns]
    tags = tags[1:] if tags[:1] == ["system"] else tags
    for position, tag in enumerate(tags):
        if tag not in (_ASKS if position % 2 == 0 else _ANSWERS):
            return f"turn {position + 1} of conversations is from {tag}"
    return None if len(tags) % 2 else f"conversations has {len(tags)} turns"


def _sharegpt_reply(name: str) -> FormatRule:
    def broken(cells: Cells) -> str | None:
        reply = cells.get(name)
        if not isinstance(reply, dict) or not isinstance(reply.get("value"), str):
            return f"{name} is {_name(reply)} without a text value"
        return None if reply.get("from") in _ANSWERS else f"{name} is from {reply.get('from')}"

    return FormatRule(f"{name} is one {{from: gpt, value: text}} (LLaMA-Factory)", broken)


_ASKS, _ANSWERS = ("human", "observation"), ("gpt", "function_call")
_SHAREGPT = (
    FormatRule(
        "conversations goes human, gpt, …, human after an optional system (LLaMA-Factory skips others)", _conversations
    ),
    _sharegpt_reply("chosen"),
    _sharegpt_reply("rejected"),
    FormatRule("the two replies differ", lambda cells: _different(cells)),
)

FORMAT_RULES: dict[str, tuple[FormatRule, ...]] = {
    "rm": (
        _columns("chosen", "rejected"),
        _absent(("prompt",), "TRL puts it before chosen and rejected, which hold it already"),
        _absent(("question", "input"), "rewardbench takes them for the prompt"),
        _absent(("margin",), "TRL and OpenRLHF subtract it in the loss"),
        _NOT_READ,
        _messages("chosen"),
        _messages("rejected"),
        _alternates("chosen"),
        _alternates("rejected"),
        _ends("chosen", "assistant", "the reply that is scored"),
        _ends("rejected", "assistant", "the reply that is scored"),
        _not_empty("chosen"),
        _not_empty("rejected"),
        FormatRule(
            "chosen and rejected share every turn but the last (rewardbench takes the prompt from chosen)", _same_prompt
        ),
        _DIFFER,
    ),
    "dpo": (
        _columns("prompt", "chosen", "rejected"),
        _NOT_READ,
        _messages("prompt"),
        _messages("chosen"),
        _messages("rejected"),
        _ends("prompt", "user", "the reply follows it"),
        _one_reply("chosen"),
        _one_reply("rejected"),
        _not_empty("chosen"),
        _not_empty("rejected"),
        _DIFFER,
    ),
    "sso": (
        _columns("prompt", "chosen", "rejected", "original", "system_good", "system_bad"),
        _messages("prompt"),
        *_PAIR,
        *(_text(name, "null where there is none", null=True) for name in ("original", "system_good", "system_bad")),
    ),
    "llamafactory": (
        _columns("instruction", "chosen", "rejected"),
        _text("instruction", "the last user turn"),
        _text("chosen", "LLaMA-Factory drops a pair whose replies are not text"),
        _text("rejected", "LLaMA-Factory drops a pair whose replies are not text"),
        _DIFFER,
        _text("system", "the system message", null=True, empty=True),
        FormatRule("history is a list of [user, assistant] pairs of text (LLaMA-Factory unpacks two)", _history),
    ),
    "axolotl": (
        _columns("system", "input", "chosen", "rejected"),
        _text("system", "axolotl looks it up in every row; it may be empty", null=True, empty=True),
        _text("input", "the user turn"),
        *_PAIR,
    ),
    "pairs": (
        _columns("pair_id", "prompt_id", "prompt", "chosen", "rejected"),
        _messages("prompt"),
        *_PAIR,
        FormatRule("ids are the content hashes of what they name", _ids),
    ),
}
"""Format to its rules, in the order they are tried; a rule may rely on those before it."""


def rules_for(format: str, cells: Cells) -> tuple[FormatRule, ...]:  # noqa: A002
    """The rules a row is held to: LLaMA-Factory has two layouts, told apart by the column conversations."""
    return _SHAREGPT if format == "llamafactory" and "conversations" in cells else FORMAT_RULES[format]


def folder_problems(path: Path, format: str) -> Iterator[FolderProblem]:  # noqa: A002
    """What is wrong with the files around the rows: LLaMA-Factory's dataset_info.json."""
    info = path / "dataset_info.json"
    if format != "llamafactory" or not path.is_dir():
        return
    if not info.is_file():
        yield FolderProblem(path, "LLaMA-Factory finds data through dataset_info.json", "there is no dataset_info.json")
        return
    try:
        entries = parsed(info.read_text(encoding="utf-8"))
    except ValueError:
        yield FolderProblem(info, "dataset_info.json is a JSON object", "it is not JSON")
        return
    for name, entry in entries.items():
        yield from _entry_problems(info, name, entry)


def _entry_problems(info: Path, name: str, entry: Cells) -> Iterator[FolderProblem]:
    if entry.get("ranking") is not True:
        yield FolderProblem(info, "pairs need ranking: true", f"{name} has ranking: {entry.get('ranking')}")
    if not (info.parent / str(entry.get("file_name"))).exists():
        yield FolderProblem(info, "file_name is a file or folder beside it", f"{name} names {entry.get('file_name')}")
    columns = entry.get("columns") or {}
    needed = "messages" if entry.get("formatting") == "sharegpt" else "prompt"
    absent = [column for column in (needed, "chosen", "rejected") if column not in columns]
    if absent:
        yield FolderProblem(info, "columns lists every column that is to be read", f"{name} does not list {absent[0]}")
