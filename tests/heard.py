"""A progress that keeps what it is told, for tests of what a person reads."""


class Heard:
    """Its `lines`, the steps that `started` (name, total, unit, done before), and the sums of what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.started: list[tuple[str, int, str, int]] = []
        self.finished = self.done = self.tokens = 0

    def say(self, text: str) -> None:
        self.lines.append(text)

    def start(self, name: str, total: int, unit: str, done: int = 0) -> None:
        self.started.append((name, total, unit, done))

    def advance(self, count: int = 1, tokens: int = 0, cost: float = 0.0) -> None:
        self.done, self.tokens = self.done + count, self.tokens + tokens

    def finish(self) -> None:
        self.finished += 1
