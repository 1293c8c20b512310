"""Progress as a person sees it: a live bar with rate and ETA on a terminal, a line every few seconds elsewhere."""

import os
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO, cast

from factory.errors import harmless
from factory.progress import Progress, Silent

if TYPE_CHECKING:  # Looked up on first use, below: a help text needs neither tables nor bars.
    from factory.terminal import comparison as comparison
    from factory.terminal import show as show
    from factory.terminal import show_training as show_training

LINE_SECONDS = 5.0


def describe_rate(done: float, left: float, seconds: float, unit: str, tokens: int, cost: float) -> str:
    """`0.42 spent, about 1.30 in all · 3.2 requests/s · 410 tokens/s · ETA 3m10s`, leaving out what there is none of.

    `done` units in `seconds` with `tokens` and `cost`; `left` are to come.
    """
    if not done or seconds <= 0:
        return "ETA unknown"
    pace = done / seconds
    parts = [f"{pace:,.1f} {unit}/s" if pace >= 1 else f"{pace:.2g} {unit}/s"]
    if tokens:
        parts.append(f"{tokens / seconds:,.0f} tokens/s")
    if cost:
        parts.insert(0, f"{cost:,.2f} spent, about {cost / done * (done + left):,.2f} in all")
    return " · ".join([*parts, f"ETA {describe_seconds(left / pace)}"])


def describe_seconds(seconds: float) -> str:
    """`48s`, `3m10s`, `2h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class LineProgress:
    """A line every few seconds, for logs."""

    def __init__(self, stream: TextIO, every: float = LINE_SECONDS) -> None:
        self._stream, self._every = stream, every
        self.start("", 0, "")

    def say(self, text: str) -> None:
        """The line, harmless to a terminal."""
        self._stream.write(harmless(text) + "\n")
        self._stream.flush()

    def start(self, name: str, total: int, unit: str, done: int = 0) -> None:
        """Begin to count."""
        self._name, self._total, self._unit = name, total, unit
        self._before, self._done, self._tokens, self._cost = done, 0, 0, 0.0
        self._began = self._shown = time.monotonic()

    def advance(self, count: int = 1, tokens: int = 0, cost: float = 0.0) -> None:
        """Count, and write a line when it is time."""
        self._done, self._tokens, self._cost = self._done + count, self._tokens + tokens, self._cost + cost
        # Not the wall clock, which may be set while a stage runs.
        now = time.monotonic()
        if now - self._shown < self._every:
            return
        self._shown = now
        seconds = now - self._began
        done = self._before + self._done
        rate = describe_rate(self._done, self._total - done, seconds, self._unit, self._tokens, self._cost)
        self.say(f"  {self._name}: {done:,}/{self._total:,} · {rate}")

    def finish(self) -> None:
        """Nothing to take away."""


class _Aside:
    """A stream that no run ends for, though its reader, its terminal or the room on its disk be gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._tried(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def _tried(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError:
            unheard(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def unheard(stream: TextIO) -> None:
    """Have all that is still written to a stream go nowhere."""
    # Python writes out what is left once more when it ends, and would say that this failed.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def for_stream(stream: TextIO | None) -> Progress:
    """Bars where the stream is a terminal that can move its cursor, lines where it is none."""
    # What Python has for a stream that was closed before it began, as cron and `2>&-` do.
    if stream is None:
        return Silent()
    aside = cast(TextIO, _Aside(stream))
    # `dumb` is what editors and CI call the terminals in which a bar would be a line of its own at each step.
    if stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        from rich.console import Console

        from factory.terminal.bars import LiveProgress

        return LiveProgress(Console(file=aside))
    return LineProgress(aside)


def __getattr__(name: str) -> Any:
    if name not in ("comparison", "show", "show_training"):
        raise AttributeError(f"module 'factory.terminal' has no attribute {name!r}")
    return import_module(f"factory.terminal.{name}")
