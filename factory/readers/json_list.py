"""The elements of a JSON list as texts, for a list that is too deep to be parsed as a whole."""

import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)


def elements(text: str) -> list[str] | None:
    """Each element of the list that `text` is; None for what is none."""
    depth, start, found = 0, 0, []
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if depth == 0 and mark != "[":
            return None
        if mark in "[{":
            depth += 1
            start = token.end() if depth == 1 else start
        elif mark in "]}":
            depth -= 1
        if (depth == 1 and mark == ",") or depth == 0:
            found.append(text[start : token.start()].strip())
            start = token.end()
        if depth == 0:
            return [one for one in found if one] if not text[token.end() :].strip() else None
    return None
