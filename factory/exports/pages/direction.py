"""Text of others in a line of ours: it keeps its own direction and never turns ours around."""

import re
import unicodedata

from principles.literal import TURNING

_STEERING = re.compile(f"[{TURNING}]")


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
