"""Live bars on a terminal."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from factory.errors import harmless
from factory.terminal import describe_rate


class RateColumn(ProgressColumn):
    """Rate and time left, by what this process has done."""

    def render(self, task: Task) -> Text:
        """As `describe_rate`, what a person looks for first: the end of it is cut where the terminal is narrow."""
        done, fields = task.completed - task.fields["before"], task.fields
        left, seconds = task.remaining or 0.0, task.elapsed or 0.0
        rate = describe_rate(done, left, seconds, fields["unit"], fields["tokens"], fields["cost"])
        *paces, eta = rate.split(" · ")
        # Of a column that may be broken, rich takes all that is missing, before it takes as much from each of the
        # others, of which the count would be the first to be gone. The text itself is cut, not broken.
        return Text(" · ".join([eta, *paces]), style="progress.data.speed", no_wrap=True, overflow="ellipsis")


class LiveProgress:
    """Bars on a terminal; finished steps become a line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        """One line above the bar."""
        self._console.print(harmless(text), markup=False, highlight=False)

    def start(self, name: str, total: int, unit: str, done: int = 0) -> None:
        """Show a bar."""
        self.finish()
        width = self._console.width
        self._bars = Bars(
            TextColumn(
                "{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", max_width=width // 3)
            ),
            BarColumn(bar_width=min(24, width // 5), table_column=Column(no_wrap=True)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            RateColumn(),
            console=self._console,
            # Gone when it is done: what stays is the line that the store says of the finished stage.
            transient=True,
        )
        self._bars.start()
        self._task = self._bars.add_task(name, total=total, completed=done, before=done, unit=unit, tokens=0, cost=0.0)

    def advance(self, count: int = 1, tokens: int = 0, cost: float = 0.0) -> None:
        """Move the bar."""
        if self._bars is None or self._task is None:
            return
        # One step goes on at a time, and has the one bar.
        fields = self._bars.tasks[0].fields
        self._bars.update(self._task, advance=count, tokens=fields["tokens"] + tokens, cost=fields["cost"] + cost)

    def finish(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None
