"""Text of others in a line of ours: it keeps its own direction and never turns ours around."""

import re
import unicodedata

_STEERING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def level(text: str) -> str:
    """`text` without the invisible letters that turn what is beside them around, such as U+202E."""
    return _STEERING.sub("", text)


def runs_left(text: str) -> bool:
    """Whether `text` holds letters written from right to left, which drag digits and signs beside them along."""
    return not text.isascii() and any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in text)


def isolated(text: str) -> str:
    """`level(text)`, between U+2068 and U+2069 where it runs left."""
    text = level(text)
    return f"\u2068{text}\u2069" if runs_left(text) else text
