"""TRL's conversational explicit layout: prompt, chosen and rejected are message lists.

Files are met in which the replies repeat the prompt; it is not doubled then.
"""

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import is_messages, turns_of

_PROMPTS = ("prompt", "conversations")


def _prompt(columns: Columns) -> str | None:
    return next((name for name in _PROMPTS if is_messages(columns.get(name))), None)


def _fits(columns: Columns) -> bool:
    replies = is_messages(columns.get("chosen")) and is_messages(columns.get("rejected"))
    return replies and _prompt(columns) is not None


def _parts(columns: Columns) -> Parts:
    names = (_prompt(columns) or "", "chosen", "rejected")
    prompt, chosen, rejected = (turns_of(name, columns[name]) for name in names)
    return Parts(prompt, chosen, rejected, frozenset(names), conversations=True)


TRL_CONVERSATIONAL = Layout("trl_conversational", "prompt, chosen, rejected: message lists", _fits, _parts)
