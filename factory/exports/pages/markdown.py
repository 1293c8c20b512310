"""Markdown that data cannot speak in: whatever a template prints is escaped unless it says otherwise."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from factory.errors import percent as in_percent
from factory.exports.facts import Share
from principles.literal import TURNING

if TYPE_CHECKING:
    from jinja2 import Environment

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


_SPECIAL = re.compile(r"([\\`*_\[\]|~#!$@])")
_LINE_START = re.compile(r"^(\d{0,9})([-+=.)])(?=\s|$|[-=])")
"""A list, its number, a rule or the line below a heading."""
_LINK = re.compile(r"(www)(?=\.)|(?<=\w)(?=://)", re.IGNORECASE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


class Safe(str):
    """Markdown of our own making, printed as it is."""

    __slots__ = ()


def escaped(text: str) -> Safe:
    """`text` as one line of Markdown that shows it letter by letter, in its own direction.

    No markup, HTML, image, table cell, link, address or mark of a list comes of it.
    """
    line = isolated(_CONTROL.sub(" ", text).strip())
    # Backslashes first: those that the next steps add are not to be escaped again.
    line = _SPECIAL.sub(r"\\\1", line)
    line = _LINE_START.sub(r"\1\\\2", line)
    line = "".join(_ENTITIES.get(letter, letter) for letter in line)
    # Renderers make a link of any www. and ://; a backslash within keeps it text.
    return Safe(_LINK.sub(r"\1\\", line))


def shown(value: Any) -> Any:
    """What a template prints for a value: numbers as they are, Safe as it is, all else escaped."""
    if value is None or isinstance(value, Safe | int | float):
        return "" if value is None else value
    return escaped(str(value))


def fenced(text: str, language: str = "") -> Safe:
    """A code block that `text` cannot close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Safe(f"{fence}{language}\n{text.rstrip()}\n{fence}")


def as_yaml(value: Mapping[str, Any]) -> Safe:
    """A mapping as a YAML code block."""
    # safe_dump: what is no plain value is an error here, and not a tag that runs Python where it is read.
    return fenced(yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=100), "yaml")


def number(value: float | None, digits: int = 0) -> Safe:
    """A number with thousands set apart, a dash for one that is not known."""
    return Safe("–" if value is None else f"{value:,.{digits}f}")


def percent(value: float | None, digits: int = 1) -> Safe:
    """A share in percent, a dash for one that is not known."""
    return Safe("–" if value is None else in_percent(value, digits))


def span(interval: Sequence[float | None]) -> Safe:
    """An interval of shares in percent; nothing where it is not known."""
    low, high = interval
    if low is None or high is None:
        return Safe("")
    ends = dict.fromkeys(in_percent(end).removesuffix(" %") for end in (low, high))
    return Safe(f"{'–'.join(ends)} %")


def signed(value: float) -> Safe:
    """A difference in percent with its sign."""
    # + 0.0, since -0.0 would print as -0.0.
    return Safe(f"{round(100 * value, 1) + 0.0:+.1f} %")


def rate(share: Share | None) -> Safe:
    """A Share in percent, a dash where there is none."""
    return percent(share.value if share else None)


def interval(share: Share | None) -> Safe:
    """The interval of a Share in percent; nothing where there is none."""
    return span(share.interval if share else (None, None))


_TABLE = re.compile(r"(?:^\|.*\|\n){3,}", flags=re.MULTILINE)
_FENCED = re.compile(r"(^(`{3,}).*?^\2`*$)", flags=re.MULTILINE | re.DOTALL)
_CELLS = re.compile(r"(?<!\\)\|")
_NOTHING = ("", "–")


def without_empty_columns(text: str) -> str:
    """Markdown without the columns of its tables, the first ones apart, in which no row has a value."""
    # A table within a code block is somebody's text, and stays.
    parts = _FENCED.split(text)  # text, block, its fence, text, …
    parts[2::3] = [""] * len(parts[2::3])
    parts[0::3] = [_TABLE.sub(_narrowed, part) for part in parts[0::3]]
    return "".join(parts)


def _narrowed(found: re.Match[str]) -> str:
    rows = [[cell.strip() for cell in _CELLS.split(line)[1:-1]] for line in found[0].splitlines()]
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        return found[0]
    kept = [at for at in range(width) if at == 0 or any(row[at] not in _NOTHING for row in rows[2:])]
    if len(kept) == width:
        return found[0]
    return "".join(f"| {' | '.join(row[at] for at in kept)} |\n" for row in rows)


def environment(finalize: Callable[[Any], Any] = shown, *, html: bool = False) -> "Environment":
    """Jinja over the templates of this package, with a filter for each kind of number.

    `finalize` has the last word on every printed value: by default it escapes for Markdown. `html`: so does Jinja, for
    HTML.
    """
    # Here, as every run looks at the licences it may name, and few write a page.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("factory.exports"),
        autoescape=html,
        finalize=finalize,
        # A name that a template misspells is an error, and not a blank on the page.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not html,
    )
    printed = (number, percent, signed, span, rate, interval, fenced, as_yaml)
    made.filters.update({each.__name__: each for each in printed})
    return made
