"""Values written out as JSON, as Python prints them, or as an array of numpy's does, which leaves out the commas."""

import ast
import json
import re
import warnings
from typing import Any

_PARTED = re.compile(
    r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")(\s+(?=['"]))?|(\})\s+(?=\{)|(\])\s+(?=\[)""",
    re.DOTALL,
)
"""A quoted text, with the blank before another one; or the blank between two objects or two lists."""
_NUMBERS = re.compile(r"\[[\s\d.eE+-]+\]")


def literal(text: str) -> Any:
    """The value that `text` writes out; None for what is none. RecursionError for one that is nested too deeply."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    written = text.strip()
    if _NUMBERS.fullmatch(written):
        parts = written[1:-1].split()
        written = f"[{', '.join(parts)}]"
    else:
        # Python would take two texts side by side for one.
        written = _PARTED.sub(_with_comma, written)
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # of backslashes in a text
            # literal_eval builds plain values only: the text comes from a file, and must not run.
            return ast.literal_eval(written)
    except (ValueError, SyntaxError, TypeError, MemoryError):
        return None


def written_in(text: str | None) -> Any:
    """`literal`, None also for a text that is not there or nested too deeply."""
    try:
        return None if text is None else literal(text)
    except RecursionError:
        return None


def _with_comma(found: re.Match[str]) -> str:
    quoted, blank, brace, bracket = found.groups()
    return f"{quoted or brace or bracket}{'' if quoted and not blank else ', '}"
