"""Whether it is the requests that fail, or the engine: several that failed alone are followed by the least request."""

from collections.abc import Callable

import torch

from factory.errors import EngineError, named_line

SEVERAL = 3
"""So many in a row may be the requests' own fault; then it is tried."""
_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")
"""What torch, cuBLAS, Apple's driver and the system say of it, in errors of many types."""


class LoneFailures:
    """Counts the requests that failed alone since one was answered."""

    def __init__(self, attempt: Callable[[], object]) -> None:
        """`attempt` makes the least request there is, and raises what it raises."""
        self._attempt, self._count = attempt, 0

    def answered(self) -> None:
        """The engine works."""
        self._count = 0

    def add(self, error: Exception) -> None:
        """Another one failed. Raises EngineError when they are several and the least request fails too.

        Memory that ran out is none: how much a request needs is its own, and what is free changes.
        """
        self._count += not out_of_memory(error)
        if self._count < SEVERAL:
            return
        self._count = 0
        try:
            self._attempt()
        except Exception as again:
            if not out_of_memory(again):
                raise EngineError(
                    f"the model fails on every request, even one of two tokens: {named_line(error)}"
                ) from again


def out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, the device's or the machine's."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    said = str(error).lower()
    return any(words in said for words in _NO_MEMORY)
