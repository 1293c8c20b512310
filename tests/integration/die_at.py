"""Run the command line and die by SIGKILL at the n-th point where the disk changes: `die_at.py N ARGS...`.

Points are the moments before and after each journal record (and in the middle of one), table, rename and manifest.
With N = 0 the run lives, and the number of points is printed as the last line.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from factory.cli import main
from factory.store import outputs
from factory.store.journal import Journal

deadly = int(sys.argv[1])
passed = 0


def point() -> None:
    global passed
    passed += 1
    if passed == deadly:
        os.kill(os.getpid(), signal.SIGKILL)


def watch(owner: Any, name: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        point()
        result = original(*args, **kwargs)
        point()
        return result

    setattr(owner, name, watched)


def tear(journal: Journal, key: str, value: dict[str, Any]) -> None:
    """As a kill in the middle of a write would leave it: half a line."""
    journal._file.seek(0, os.SEEK_END)
    journal._file.write(f'{{"key":"{key}","value":{{"tex'.encode())
    journal._file.flush()
    journal._file.truncate(journal._file.tell()) if passed + 1 == deadly else journal._file.truncate(journal._end)
    point()


append = Journal.append


def torn_append(journal: Journal, key: str, value: dict[str, Any]) -> None:
    point()
    tear(journal, key, value)
    append(journal, key, value)
    point()


Journal.append = torn_append  # type: ignore[method-assign]
watch(Path, "replace")
watch(outputs, "write_text")
watch(pl.DataFrame, "write_parquet")
watch(pl.LazyFrame, "sink_parquet")

try:
    main(sys.argv[2:])
finally:
    if deadly == 0:
        print(passed)
