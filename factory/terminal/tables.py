"""Tables of text, and how one value stands in them."""

from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

from factory.errors import number

WIDTH = 100


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A plain table; the first column is aligned left, numbers right. Cells are text, never markup."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    listed = [list(row) for row in rows]
    for position, header in enumerate(headers):
        numeric = position > 0 and all(isinstance(row[position], int | float | None) for row in listed)
        # Folded, not cut: ids and paths are there to be copied.
        made.add_column(header, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        # Text, not str, in which rich takes [red] for markup.
        made.add_row(*(Text(cell(value)) for value in row))
    # Without a width of its own rich asks the terminal, and a result in a file would differ from one on a screen.
    out = StringIO()
    Console(file=out, width=WIDTH, color_system=None).print(made)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")


def cell(value: Any) -> str:
    """A dash for what is missing; numbers as people write them."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value)
    # A bool is an int to Python, which `,` would write as 1.
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def brief(value: Any) -> Any:
    """Counts by reason as a text."""
    return ", ".join(f"{name} {cell(one)}" for name, one in value.items()) or 0 if isinstance(value, dict) else value
