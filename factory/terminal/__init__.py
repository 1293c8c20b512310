"""Progress as a person sees it: a live bar with rate and ETA on a terminal, a line every few seconds elsewhere."""

import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

LINE_SECONDS = 5.0


def describe_rate(done: float, left: float, seconds: float, unit: str, tokens: int, cost: float) -> str:
    """`3.2 requests/s · 410 tokens/s · 0.42 spent, about 1.30 in all · ETA 3m10s`, leaving out what there is none of.

    `done` units in `seconds` with `tokens` and `cost`; `left` are to come.
    """
    if not done or seconds <= 0:
        return "ETA unknown"
    pace = done / seconds
    parts = [f"{pace:,.1f} {unit}/s" if pace >= 1 else f"{pace:.2g} {unit}/s"]
    if tokens:
        parts.append(f"{tokens / seconds:,.0f} tokens/s")
    if cost:
        parts.append(f"{cost:,.2f} spent, about {cost / done * (done + left):,.2f} in all")
    return " · ".join([*parts, f"ETA {describe_seconds(left / pace)}"])


def describe_seconds(seconds: float) -> str:
    """`48s`, `3m10s`, `2h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class RateColumn(ProgressColumn):
    """Rate and time left, by what this process has done."""

    def render(self, task: Task) -> Text:
        """As `describe_rate`."""
        done, fields = task.completed - task.fields["before"], task.fields
        left, seconds = task.remaining or 0.0, task.elapsed or 0.0
        rate = describe_rate(done, left, seconds, fields["unit"], fields["tokens"], fields["cost"])
        return Text(rate, style="progress.data.speed")


def _cut() -> Column:
    """A part of a bar that is cut, and not broken, where the terminal is narrow."""
    return Column(no_wrap=True, overflow="ellipsis")


class LiveProgress:
    """Bars on a terminal; finished steps become a line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        """One line above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def start(self, name: str, total: int, unit: str, done: int = 0) -> None:
        """Show a bar."""
        self.finish()
        self._bars = Bars(
            TextColumn("{task.description}", table_column=_cut()),
            BarColumn(bar_width=24, table_column=Column(no_wrap=True, min_width=8)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            RateColumn(table_column=_cut()),
            console=self._console,
            transient=True,
        )
        self._bars.start()
        self._task = self._bars.add_task(name, total=total, completed=done, before=done, unit=unit, tokens=0, cost=0.0)

    def advance(self, count: int = 1, tokens: int = 0, cost: float = 0.0) -> None:
        """Move the bar."""
        if self._bars is None or self._task is None:
            return
        fields = self._bars.tasks[0].fields
        self._bars.update(self._task, advance=count, tokens=fields["tokens"] + tokens, cost=fields["cost"] + cost)

    def finish(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None


class LineProgress:
    """A line every few seconds, for logs."""

    def __init__(self, stream: TextIO, every: float = LINE_SECONDS) -> None:
        self._stream, self._every = stream, every
        self._name, self._total, self._unit = "", 0, ""
        self._before, self._done, self._tokens, self._cost = 0, 0, 0, 0.0
        self._began = self._shown = time.monotonic()

    def say(self, text: str) -> None:
        """The line as it is."""
        self._stream.write(text + "\n")
        self._stream.flush()

    def start(self, name: str, total: int, unit: str, done: int = 0) -> None:
        """Begin to count."""
        self._name, self._total, self._unit = name, total, unit
        self._before, self._done, self._tokens, self._cost = done, 0, 0, 0.0
        self._began = self._shown = time.monotonic()

    def advance(self, count: int = 1, tokens: int = 0, cost: float = 0.0) -> None:
        """Count, and write a line when it is time."""
        self._done, self._tokens, self._cost = self._done + count, self._tokens + tokens, self._cost + cost
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


def for_stream(stream: TextIO) -> LiveProgress | LineProgress:
    """Bars where the stream is a terminal, lines where it is not."""
    if stream.isatty():
        return LiveProgress(Console(file=stream))
    return LineProgress(stream)
