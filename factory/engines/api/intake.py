"""The one gate for what a server sends: bounded in depth and numbers, and without secrets, before anyone sees it."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from factory.identity import replace_surrogates

MOST_DEPTH = 32
"""Deepest nesting of a JSON answer; those of the protocol have seven levels."""
_MOST_DIGITS = 18
"""Longest integer: what 64 bits hold. A longer one is missing, as no count is that high."""
_SHORTEST_SECRET = 6

Scrub = Callable[[str], str]


class UnreadableError(Exception):
    """An answer that is no JSON that may be kept; says what it is instead."""


def scrubber(secrets: Iterable[str]) -> Scrub:
    """Blots words that are sent to a server out of what comes back, and what no file can hold (lone surrogates)."""
    # Long ones first: a short secret inside a long one, blotted out first, would leave the rest of the long one
    # standing.
    words = sorted({word for word in secrets if len(word) >= _SHORTEST_SECRET}, key=len, reverse=True)

    def scrub(text: str) -> str:
        for word in words:
            text = text.replace(word, "***")
        return text if text.isascii() else replace_surrogates(text)

    return scrub


def parsed(content: bytes, scrub: Scrub) -> Any:
    """The JSON value in `content`, of finite numbers and scrubbed texts. UnreadableError says why there is none."""
    if not content.strip():
        raise UnreadableError("the answer is empty")
    try:
        # Python turns a number of 4,300 digits into an error, and NaN or 1e999 into floats that no table of ours may
        # hold: all of them are missing.
        value = json.loads(content, parse_int=_integer, parse_float=_real, parse_constant=lambda _: None)
    except ValueError:
        streamed = content.lstrip().startswith((b"data:", b"event:", b": "))
        raise UnreadableError("it streams, unasked" if streamed else "the answer is broken JSON") from None
    except RecursionError:
        raise UnreadableError(_TOO_DEEP) from None
    return _scrubbed(value, scrub, MOST_DEPTH)


def text_or_value(content: bytes, scrub: Scrub) -> Any:
    """As `parsed`, and the text itself where it is no JSON: for errors, which come as anything."""
    try:
        return parsed(content, scrub)
    except UnreadableError:
        return scrub(content.decode("utf-8", "replace"))


def lines(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The lines of a file as it comes; one of more than `most` bytes is left out."""
    kept, whole = bytearray(), True
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            if whole and len(kept) + len(piece) <= most:
                yield bytes(kept + piece)
            kept, whole = bytearray(), True
        whole = whole and len(kept) + len(rest) <= most
        kept = kept + rest if whole else bytearray()
    if kept:
        yield bytes(kept)


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def _real(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


_TOO_DEEP = "the answer is nested too deeply"


def _scrubbed(value: Any, scrub: Scrub, depth: int) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise UnreadableError(_TOO_DEEP)
    if isinstance(value, list):
        return [_scrubbed(item, scrub, depth - 1) for item in value]
    return {scrub(name): _scrubbed(item, scrub, depth - 1) for name, item in value.items()}
