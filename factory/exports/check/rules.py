"""The rules of each format as its consumers have them."""

from collections.abc import Iterator
from pathlib import Path

from factory.exports.check import rule_parts as it
from factory.exports.check.rule_parts import Cells, FormatRule, Problem, kind_of
from factory.files.json_text import parsed

_TRL = ("tools", "chat_template_kwargs", "messages", "images", "image")
_NOT_READ = it.not_there((*_TRL, "completion"), "TRL reads them")
_DIFFER = FormatRule("the two replies differ", it.different)
_SIDES = ("chosen", "rejected")
_PAIR = (*(it.is_text(side, "a reply") for side in _SIDES), _DIFFER)


def _conversations(cells: Cells) -> str | None:
    turns = cells["conversations"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return f"conversations is {kind_of(turns)}"
    tags = [turn.get("from") for turn in turns]
    # LLaMA-Factory takes a system turn off before it looks at the order.
    tags = tags[1:] if tags[:1] == ["system"] else tags
    for position, tag in enumerate(tags):
        if tag not in (_ASKS if position % 2 == 0 else _ANSWERS):
            return f"turn {position + 1} of conversations is from {tag}"
    return None if len(tags) % 2 else f"conversations has {len(tags)} turns"


def _sharegpt_reply(name: str) -> FormatRule:
    def broken(cells: Cells) -> str | None:
        reply = cells.get(name)
        if not isinstance(reply, dict) or not isinstance(reply.get("value"), str):
            return f"{name} is {kind_of(reply)} without a text value"
        return None if reply.get("from") in _ANSWERS else f"{name} is from {reply.get('from')}"

    return FormatRule(f"{name} is one {{from: gpt, value: text}} (LLaMA-Factory)", broken)


_ASKS, _ANSWERS = ("human", "observation"), ("gpt", "function_call")
_SHAREGPT = (
    FormatRule(
        "conversations goes human, gpt, …, human after an optional system (LLaMA-Factory skips others)", _conversations
    ),
    *map(_sharegpt_reply, _SIDES),
    _DIFFER,
)
_RM = (
    it.has_columns(*_SIDES),
    it.not_there(("prompt",), "TRL puts it before chosen and rejected, which hold it already"),
    it.not_there(("question", "input"), "rewardbench takes them for the prompt"),
    it.not_there(("margin",), "TRL and OpenRLHF subtract it in the loss"),
    _NOT_READ,
    *map(it.are_messages, _SIDES),
)
_RM_END = (
    *(it.ends(side, "assistant", "the reply that is scored") for side in _SIDES),
    *map(it.has_reply, _SIDES),
    FormatRule(
        "chosen and rejected share every turn but the last (rewardbench takes the prompt from chosen)", it.same_prompt
    ),
    _DIFFER,
)
_DPO = (
    _NOT_READ,
    *map(it.are_messages, ("prompt", *_SIDES)),
    it.ends("prompt", "user", "the reply follows it"),
    *map(it.one_reply, _SIDES),
    *map(it.has_reply, _SIDES),
    _DIFFER,
)
_SYSTEM_KEPT = (*_RM, *(it.alternates(side, system=True) for side in _SIDES), *_RM_END)
"""The rules of `rm` where prompts keep their own system messages."""

FORMAT_RULES: dict[str, tuple[FormatRule, ...]] = {
    "rm": (*_RM, *map(it.alternates, _SIDES), *_RM_END),
    "dpo": (it.has_columns("prompt", "chosen", "rejected"), *_DPO),
    "sso": (
        it.has_columns("prompt", "chosen", "rejected", "original", "system_good", "system_bad"),
        it.are_messages("prompt"),
        *_PAIR,
        *(
            it.is_text(name, "null where there is none", null=True)
            for name in ("original", "system_good", "system_bad")
        ),
    ),
    "llamafactory": (
        it.has_columns("instruction", "chosen", "rejected"),
        it.is_text("instruction", "the last user turn"),
        *(it.is_text(side, "LLaMA-Factory drops a pair whose replies are not text") for side in _SIDES),
        _DIFFER,
        it.is_text("system", "the system message", null=True, empty=True),
        FormatRule("history is a list of [user, assistant] pairs of text (LLaMA-Factory unpacks two)", it.history),
    ),
    "axolotl": (
        it.has_columns("system", "input", "chosen", "rejected"),
        it.is_text("system", "axolotl looks it up in every row; it may be empty", null=True, empty=True),
        it.is_text("input", "the user turn"),
        *_PAIR,
    ),
    "verl": (
        it.has_columns("prompt", "chosen", "rejected"),
        it.is_text("prompt", "verl tokenises it as it is"),
        *_PAIR,
    ),
    "kto": (
        it.has_columns("prompt", "completion", "label"),
        it.not_there(_TRL, "TRL reads them"),
        *map(it.are_messages, ("prompt", "completion")),
        it.ends("prompt", "user", "the reply follows it"),
        it.one_reply("completion"),
        it.has_reply("completion"),
        it.is_flag("label", "TRL"),
    ),
    "tpo": (
        it.has_columns("prompt", "chosen", "rejected", "reference"),
        *_DPO,
        it.are_messages("reference"),
        it.one_reply("reference"),
        it.has_reply("reference"),
    ),
    "sdft": (
        it.has_columns("prompt", "privileged_context"),
        it.are_messages("prompt"),
        it.ends("prompt", "user", "the reply follows it"),
        it.is_text("privileged_context", "TRL's teacher is told it"),
    ),
    "pairs": (
        it.has_columns("pair_id", "prompt_id", "prompt", "chosen", "rejected"),
        it.are_messages("prompt"),
        *_PAIR,
        FormatRule("ids are the content hashes of what they name", it.ids),
    ),
}
"""Format to its rules, in the order they are tried; a rule may rely on those before it."""


def rules_for(format: str, cells: Cells, *, keep_system: bool = False) -> tuple[FormatRule, ...]:
    """The rules a row is held to: LLaMA-Factory has two layouts, told apart by the column conversations."""
    if keep_system and format == "rm":
        return _SYSTEM_KEPT
    return _SHAREGPT if format == "llamafactory" and "conversations" in cells else FORMAT_RULES[format]


def folder_problems(path: Path, format: str) -> Iterator[Problem]:
    """What is wrong with the files around the rows: LLaMA-Factory's dataset_info.json."""
    info = path / "dataset_info.json"
    if format != "llamafactory" or not path.is_dir():
        return
    if not info.is_file():
        yield Problem(path, None, "LLaMA-Factory finds data through dataset_info.json", "there is no dataset_info.json")
        return
    try:
        entries = parsed(info.read_text(encoding="utf-8"))
    except ValueError:
        yield Problem(info, None, "dataset_info.json is a JSON object", "it is not JSON")
        return
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        yield Problem(info, None, "dataset_info.json is a JSON object of an object per data set", "it is none")
        return
    for name, entry in entries.items():
        yield from _entry_problems(info, name, entry)


def _entry_problems(info: Path, name: str, entry: Cells) -> Iterator[Problem]:
    if entry.get("ranking") is not True:
        yield Problem(info, None, "pairs need ranking: true", f"{name} has ranking: {entry.get('ranking')}")
    if not (info.parent / str(entry.get("file_name"))).exists():
        yield Problem(info, None, "file_name is a file or folder beside it", f"{name} names {entry.get('file_name')}")
    given = entry.get("columns")
    columns = given if isinstance(given, dict) else {}
    needed = "messages" if entry.get("formatting") == "sharegpt" else "prompt"
    absent = [column for column in (needed, "chosen", "rejected") if column not in columns]
    if absent:
        yield Problem(info, None, "columns lists every column that is to be read", f"{name} does not list {absent[0]}")
