"""Tables of text, and how one value stands in them."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from factory.errors import number

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH, _LEAST = 100, 10


def width() -> int:
    """100 columns, the same in every file and pipe; on a terminal that has fewer, as many as that."""
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    return min(_WIDTH, get_terminal_size().columns) if on_terminal else _WIDTH


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A plain table; the first column is aligned left, numbers right. Cells are text, never markup."""
    from rich.console import Console
    from rich.measure import Measurement

    listed = [list(row) for row in rows]
    out, columns = StringIO(), width()
    console = Console(file=out, width=_WIDTH, color_system=None)
    # Texts are folded as far as that; numbers that do not fit are left to the terminal, as rich would cut them off.
    least = [
        [value if isinstance(value, int | float | None) else cell(value)[:_LEAST] for value in row] for row in listed
    ]
    room = Measurement.get(console, console.options, _laid_out(headers, least, narrow=True)).minimum
    narrow = room <= columns < _WIDTH
    console.print(_laid_out(headers, listed, narrow=narrow), width=columns if narrow else _WIDTH)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")


def _laid_out(headers: Sequence[str], rows: Sequence[Sequence[Any]], *, narrow: bool) -> "Table":
    """The table; a narrow one has a word of a number's header in a line, and every number whole."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for position, header in enumerate(headers):
        numeric = position > 0 and all(isinstance(row[position], int | float | None) for row in rows)
        said = header.replace(" ", "\n") if narrow and numeric else header
        # Folded, not cut: ids and paths are there to be copied.
        justify: Any = "right" if numeric else "left"
        made.add_column(said, justify=justify, overflow="fold", no_wrap=narrow and numeric)
    for row in rows:
        # Text, not str, in which rich takes [red] for markup.
        made.add_row(*(Text(cell(value)) for value in row))
    return made


def cell(value: Any) -> str:
    """A dash for what is missing; numbers as people write them."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value)
    # A bool is an int to Python, which `,` would write as 1.
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def places(named: Mapping[str, object]) -> str:
    """Where each thing lies, a line each."""
    longest = max(map(len, named))
    return "\n".join(f"{name:<{longest}}  {place}" for name, place in named.items())


def words(value: Any) -> str:
    """A cell in which lists and mappings, such as counts by reason, are written as people write them."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {words(one)}" for name, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(words, value))
    return cell(value)


def brief(value: Any) -> Any:
    """Counts by reason as a text."""
    return words(value) or 0 if isinstance(value, dict) else value
