"""TRL's conversational implicit layout, which is Skywork's too: two whole conversations and no prompt."""

from factory.readers.asked import replies
from factory.readers.explicit import explicit
from factory.readers.layouts.base import Columns, Layout, Parts


def _fits(columns: Columns) -> bool:
    pair = replies(columns)
    return pair is not None and pair.kind == "messages"


def _parts(columns: Columns) -> Parts:
    return explicit(columns, None)


TRL_IMPLICIT = Layout("trl_implicit", "chosen, rejected: message lists, prompt included (Skywork)", _fits, _parts)
