"""Rows as PaddleNLP and ERNIEKit have them: questions and answers in lists apart, and what is the higher the better."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

_NEEDED = {"src", "tgt", "response", "sort"}


def in_turns(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Such a row with its conversation, replies and scores in columns that are known; any other as it is."""
    if not raw.keys() >= _NEEDED:
        return raw
    asked, answers = (_texts(raw[name]) for name in ("src", "tgt"))
    replies = raw["response"] if isinstance(raw["response"], list) else []
    told = [_texts(one) for one in replies]
    if asked is None or answers is None or len(answers) != len(asked) - 1:
        return raw
    if not all(one is not None and len(one) == 1 for one in told):
        return raw
    turns = [
        {"role": role, "content": text}
        for pair in zip_longest(asked, answers)
        for role, text in zip(("user", "assistant"), pair, strict=True)
        if text is not None
    ]
    rest = {name: one for name, one in raw.items() if name not in _NEEDED}
    return {**rest, "messages": turns, "responses": [text for one in told for text in one or ()], "scores": raw["sort"]}


def _texts(raw: Any) -> list[str] | None:
    """A text, or a list of texts, as such a list; None for anything else."""
    several = [raw] * bool(raw) if isinstance(raw, str) else raw
    return several if isinstance(several, list) and all(isinstance(one, str) for one in several) else None
