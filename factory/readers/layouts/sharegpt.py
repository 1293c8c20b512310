"""LLaMA-Factory's sharegpt layout: the conversation so far, and the two next messages."""

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import is_message, is_messages, turns_of, under_system

_PROMPTS = ("conversations", "messages", "prompt")


def _prompt(columns: Columns) -> str | None:
    return next((name for name in _PROMPTS if is_messages(columns.get(name))), None)


def _fits(columns: Columns) -> bool:
    replies = is_message(columns.get("chosen")) and is_message(columns.get("rejected"))
    return replies and _prompt(columns) is not None


def _parts(columns: Columns) -> Parts:
    name = _prompt(columns) or ""
    prompt = under_system(columns, turns_of(name, columns[name]))
    chosen, rejected = (turns_of(reply, columns[reply]) for reply in ("chosen", "rejected"))
    return Parts(prompt, chosen, rejected, frozenset({name, "system", "chosen", "rejected"}), conversations=True)


SHAREGPT = Layout("sharegpt", "conversations (or messages): message list; chosen, rejected: message", _fits, _parts)
