"""A stage's table, grown part by part: what has been added lies on disk, and memory holds one part."""

import errno
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from factory.errors import InputError

ROW_GROUP = 10_000
"""Rows that a reader of the table must hold at least."""
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS)
"""What the disk says where nothing more can be written; polars tells it within a message of its own."""


class TableFile:
    """A Parquet file of rows that come in parts. Its bytes depend on the rows and on how they were parted, alone."""

    def __init__(self, path: Path, count: str = "") -> None:
        """Begin a table at `path`, and count the values of the column `count`, if one is named."""
        self.rows = 0
        self._path, self._count = path, count
        self._counts: Counter[str] = Counter()
        self._folder = path.with_name(f".{path.name}.parts")
        shutil.rmtree(self._folder, ignore_errors=True)
        path.unlink(missing_ok=True)  # of a process that was killed
        self._folder.mkdir()
        self._parts: list[Path] = []

    def add(self, part: pl.DataFrame) -> None:
        """Append rows; all parts have the same columns."""
        # A first empty part is kept, because it alone says which columns there are.
        if part.is_empty() and self._parts:
            return
        # A file each, as a Parquet file cannot be appended to: its footer is written last.
        self._parts.append(self._folder / f"{len(self._parts):06d}.parquet")
        part.write_parquet(self._parts[-1], row_group_size=ROW_GROUP)
        self.rows += part.height
        if self._count and part.height:
            self._counts.update(dict(part.group_by(self._count).len().iter_rows()))

    @property
    def counts(self) -> dict[str, int]:
        """Rows by their value in the counted column, the most frequent first, then by value."""
        return dict(sorted(self._counts.items(), key=lambda item: (-item[1], str(item[0]))))

    def close(self) -> None:
        """Put the parts together at the table's path; where nothing was added, there is no file."""
        if len(self._parts) == 1:
            self._parts[0].replace(self._path)
        elif self._parts:
            # Scanned and sunk, not read: polars then streams row groups, and never holds the table.
            whole = pl.concat([pl.scan_parquet(part, glob=False) for part in self._parts])
            sink(whole, self._path, row_group_size=ROW_GROUP)
        shutil.rmtree(self._folder)


def sink(frame: pl.LazyFrame, path: Path, **options: Any) -> None:
    """Write what is read from the pairs to a Parquet file; InputError for what cannot be read, OSError for no room."""
    try:
        frame.sink_parquet(path, **options)
    except pl.exceptions.ComputeError as error:
        for number in (code for code in _NO_ROOM if f"(os error {code})" in str(error)):
            raise OSError(number, os.strerror(number), str(path)) from error
        _find_room(path)
        raise InputError(f"the pairs cannot be read: {error}") from error


def _find_room(path: Path) -> None:
    """Raise OSError when the file may not grow, which polars may tell as a fault of the format."""
    with path.open("ab") as file:
        # A megabyte, since a full disk may have room for a few bytes left.
        file.write(bytes(1 << 20))
