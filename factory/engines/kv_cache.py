"""What the decoder needs of the memory of the rows that are being generated."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from torch import Tensor


class KVCache(Protocol):
    """What the decoder needs of the memory of its rows. A row is held without its last token."""

    @property
    def rows(self) -> int:
        """Rows in flight."""

    @property
    def width(self) -> int:
        """Columns the longest row takes."""

    @property
    def can_join(self) -> bool:
        """Whether rows can join now."""

    @property
    def can_share(self) -> bool:
        """Whether rows may start from one computation of their common beginning."""

    def start(self, rows: Sequence[list[int]], shared: int) -> None:
        """Add rows, given as token ids, of which the first `shared` are the same."""

    def step(self, last: Sequence[int]) -> Tensor:
        """Add the last token of every row; gives the logits [rows, vocabulary] for the next one."""

    def remove(self, gone: Sequence[int]) -> list[int]:
        """Drop rows; the old places of those that stay, in their new order."""

    def attention(self) -> AbstractContextManager[None]:
        """To be entered while rows are added or advanced."""

    def empty(self) -> "KVCache":
        """An empty one of the kind."""
