"""Tables as Markdown writes them."""

import re


def columns_without_a_value(text: str) -> list[str]:
    """Heads of the columns, but the first of a table, that hold nothing in any row."""
    found = []
    for table_ in re.findall(r"(?:^\|.*\|\n){3,}", text, flags=re.MULTILINE):
        head_, _, *body = ([cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table_.splitlines())
        found += [head_[at] for at in range(1, len(head_)) if all(row[at] in ("", "–") for row in body)]
    return found
