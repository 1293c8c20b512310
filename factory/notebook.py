"""How results look in a notebook: a table of HTML, from texts and numbers, in which nothing of the data is markup."""

from collections.abc import Iterable, Sequence
from html import escape

from factory.errors import number


def html_table(headers: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table; numbers stand right and as people write them, what is missing is a dash."""
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    head = "".join(f"<th>{escape(name)}</th>" for name in headers)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    # A bool is an int to Python, and no number to a reader.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{escape('–' if value is None else str(value))}</td>"
    return f'<td style="text-align:right">{f"{value:,}" if isinstance(value, int) else number(value)}</td>'
