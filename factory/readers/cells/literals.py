"""Values written out as JSON, as Python prints them, or as an array of numpy's does, which leaves out the commas."""

import ast
import json
import re
import warnings
from typing import Any

_WORDS = {**dict.fromkeys(("nan", "NaN", "NaT", "null", "None"), "None"), "true": "True", "false": "False"}
_TOKEN = re.compile(
    r"""(?P<value>'(?:\\.|[^'\\])*'?|"(?:\\.|[^"\\])*"?|[}\])]|\b(?:nan|NaN|NaT|null|None|true|false)\b)"""
    r"""(?P<blank>\s+(?=['"{\[\w]))?|(?<![\w.])[A-Za-z_][\w.]*(?=\()|,\s*\w+=(?:'[^']*'|[\w.]+)(?=[,)])""",
    re.DOTALL,
)
"""A value, or its end, with the blank before another one; else what stands around one, as `array(` and its dtype."""
_NUMBERS = re.compile(r"\[(?:[\s\d.eE+-]|nan|None)+\]")


def literal(text: str) -> Any:
    """The value that `text` writes out; None for what is none. RecursionError for one that is nested too deeply."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    written = text.strip()
    if _NUMBERS.fullmatch(written):
        parts = written[1:-1].replace("nan", "None").split()
        written = f"[{', '.join(parts)}]"
    else:
        written = _TOKEN.sub(_plain, written)
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # of backslashes in a text
            # literal_eval builds plain values only: the text comes from a file, and must not run. Of these some, such
            # as the set {1, 2}, are none of JSON's.
            return json.loads(json.dumps(ast.literal_eval(written)))
    except (ValueError, SyntaxError, TypeError, MemoryError):
        return None


def written_in(text: str | None) -> Any:
    """`literal`, None also for a text that is not there or nested too deeply."""
    try:
        return None if text is None else literal(text)
    except RecursionError:
        return None


def _plain(found: re.Match[str]) -> str:
    value = found["value"]
    # A value in brackets is itself. Python would take two texts side by side for one.
    return "" if value is None else f"{_WORDS.get(value, value)}{', ' if found['blank'] else ''}"
