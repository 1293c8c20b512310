"""One strange file among good ones: refused by name, or left out with a warning where the user allows it."""

from collections.abc import Iterator
from contextlib import contextmanager

from factory.errors import InputError
from factory.readers.reading import Part


class Skipped:
    """The files that were left out."""

    def __init__(self, *, allowed: bool) -> None:
        """`allowed`: they are left out; otherwise the first is an error."""
        self.allowed = allowed
        self._seen: set[str] = set()
        self._found: list[tuple[str, InputError]] = []

    @contextmanager
    def passing(self, where: str) -> Iterator[None]:
        """Let an InputError about the file `where` pass, or tell how it could."""
        try:
            yield
            self._seen.add(where)
        except InputError as error:
            if self.allowed:
                self._found.append((where, error))
            elif self._seen - {where}:
                raise InputError(f"{error}; --skip-unreadable reads the other files alone") from error
            else:
                raise

    def require(self, read: int) -> None:
        """Raise the first error where nothing at all was read."""
        if self._found and not read:
            raise self._found[0][1]

    def parts(self) -> list[Part]:
        """A warning for each."""
        return [Part(None, (where,), {}, (), (f"left out: {error}",)) for where, error in self._found]
