"""How a long stage tells that it lives: the contract, and the silent form that the Python API uses by default."""

from typing import Protocol


class Progress(Protocol):
    """Told by stages what is going on; the command line turns it into bars or lines."""

    def say(self, text: str) -> None:
        """One line about what was done, reused or left out."""

    def start(self, name: str, total: int, unit: str, done: int = 0) -> None:
        """A long step of `total` units (requests, pairs, steps) begins; `done` of them were done before it."""

    def advance(self, count: int = 1, tokens: int = 0, cost: float = 0.0) -> None:
        """`count` units are done, with what they used."""

    def finish(self) -> None:
        """The step begun last is over."""


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Drop the line."""

    def start(self, name: str, total: int, unit: str, done: int = 0) -> None:
        """Nothing to show."""

    def advance(self, count: int = 1, tokens: int = 0, cost: float = 0.0) -> None:
        """Nothing to show."""

    def finish(self) -> None:
        """Nothing to show."""
