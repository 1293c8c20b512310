"""The error vocabulary of sso-factory: whatever goes wrong, the user reads one sentence and what to do about it."""

import sys
from pathlib import Path

_HARMLESS = "\n\u00a0\u3000"
"""Line breaks, and spaces of their own width, which Python calls unprintable."""
_MORE_DIGITS = 6
"""Beyond them a share is what rounding makes of none or all."""


def harmless(text: str) -> str:
    """`text` with its lines; other control characters, which could steer a terminal, become spaces."""
    # ESC and its like could move the cursor, retitle the window or hide what follows.
    return "".join(char if char.isprintable() or char in _HARMLESS else " " for char in text)


def one_line(text: str) -> str:
    """`text` on one line, harmless to a terminal."""
    return " ".join(harmless(text).split())


def short(text: str, most: int) -> str:
    """The beginning of a text, in one line of at most so many characters."""
    # Cut before it is looked at, letter by letter: it may be megabytes. Four times, for the spaces that fall away.
    line = one_line(text[: 4 * most])
    return line if len(line) <= most else line[: most - 1] + "…"


def excerpt(text: str, most: int) -> str:
    """`text` with its lines, or its first `most` characters and how many there are."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"


def number(value: float) -> str:
    """A number as people write it: four digits, and every one before the point, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"


def percent(share: float, digits: int = 1) -> str:
    """A share in percent: with more digits where it would read as none or all and is neither."""
    written = [f"{100 * share:.{more}f}" for more in range(digits, digits + _MORE_DIGITS)]
    return f"{next((text for text in written if 0 < float(text) < 100), written[0])} %"


def span(low: object, high: object, spec: str = "") -> str:
    """`low to high`, both written as `spec` says; one of them where that is the same."""
    ends = dict.fromkeys(format(end, spec) for end in (low, high))
    return " to ".join(ends)


class FactoryError(Exception):
    """Anything the user can be told in one sentence; `exit_code` is what the command line ends with."""

    exit_code = 1

    def __str__(self) -> str:
        """The sentence in one line, whatever characters the names in it hold."""
        return one_line(super().__str__())


class ConfigError(FactoryError):
    """A configuration or a command that cannot be carried out as written."""

    exit_code = 2


class InputError(FactoryError):
    """A file or table that cannot be used; names the file and the row or column."""

    exit_code = 2


class MissingExtraError(FactoryError):
    """An optional package is not installed; the sentence holds the pip line that brings it."""

    exit_code = 2

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(f"this needs the package {package}: pip install {_installed_as(extra)}")


def _installed_as(extra: str) -> str:
    """What pip is given for an extra: the checkout that this runs from, or the package."""
    root = Path(__file__).parents[1]
    return f"-e '{root}[{extra}]'" if (root / "pyproject.toml").is_file() else f"'sso-factory[{extra}]'"


class EngineError(FactoryError):
    """An engine that cannot start or must stop: no model, no key, no quota, no server."""


class StoreError(FactoryError):
    """A run folder that cannot be used: held by another process, unwritable, from a newer version."""


class TrainingError(FactoryError):
    """Training that cannot start or go on."""


class NotReproducedError(FactoryError):
    """What was to come again came otherwise; the result that says how is printed first."""


class InterruptedRunError(FactoryError):
    """The user stopped the run; what had arrived is on disk."""

    exit_code = 130


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def named_line(error: BaseException) -> str:
    """The same behind the kind of error, for those whose words say little without it."""
    return f"{type(error).__name__}: {first_line(error)}"


def network_errors() -> tuple[type[Exception], ...]:
    """What a connection or a server that fails lets through what fetches from it: known once it has been raised."""
    clients = [("httpx", "HTTPError"), ("httpx2", "HTTPError"), ("aiohttp", "ClientError")]
    clients += [("botocore.exceptions", "BotoCoreError"), ("botocore.exceptions", "ClientError")]
    # Of the modules that are loaded: no other one can have raised. huggingface_hub's has changed its name.
    raised = (getattr(sys.modules[module], name) for module, name in clients if module in sys.modules)
    # ValueError: an answer in JSON that is none, as of a page to log in at.
    return (OSError, RuntimeError, ValueError, *raised)
