"""LLaMA-Factory's sharegpt layout: the conversation so far, and the two next messages."""

from factory.readers.asked import asked
from factory.readers.explicit import explicit, prompted
from factory.readers.layouts.base import Columns, Layout, Parts


def _fits(columns: Columns) -> bool:
    return prompted(columns, "message") is not None


def _parts(columns: Columns) -> Parts:
    return explicit(columns, asked(columns))


SHAREGPT = Layout(
    "sharegpt", "conversations (or messages, prompt): message list, or a text; chosen, rejected: message", _fits, _parts
)
