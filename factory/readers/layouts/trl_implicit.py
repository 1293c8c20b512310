"""TRL's conversational implicit layout, which is Skywork's too: two whole conversations and no prompt."""

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import is_messages, turns_of


def _fits(columns: Columns) -> bool:
    return is_messages(columns.get("chosen")) and is_messages(columns.get("rejected"))


def _parts(columns: Columns) -> Parts:
    chosen, rejected = (turns_of(name, columns[name]) for name in ("chosen", "rejected"))
    return Parts(None, chosen, rejected, frozenset({"chosen", "rejected"}), conversations=True)


TRL_IMPLICIT = Layout("trl_implicit", "chosen, rejected: message lists, prompt included (Skywork)", _fits, _parts)
