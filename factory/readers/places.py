"""Where on this disk inputs lie, so that no output is put in their way."""

from collections.abc import Iterator
from pathlib import Path

from factory.readers.sources import FUNNEL, KEPT, RUN, SAVED, PairsLike, as_list, find


def places(inputs: PairsLike, *, table: str = KEPT) -> list[Path]:
    """The files that inputs stand for, and the folders of which every file is read; what is elsewhere is passed over.

    Raises InputError for a folder without data.
    """
    return [path for given in as_list(inputs) if isinstance(given, str | Path) for path in _of(given, table)]


def _of(given: str | Path, table: str) -> Iterator[Path]:
    path = Path(given)
    if not _is_path(given):  # whoever reads it says so
        return
    if not path.is_dir():
        yield path
        return
    ours = (path / RUN).is_file() or ((path / FUNNEL).is_file() and (path / KEPT).is_file())
    if not ours:
        yield path
    if ours or not any((path / name).is_file() for name in SAVED):
        yield from (found.path for found in find(path, table) if found.path is not None)


def _is_path(given: str | Path) -> bool:
    """Whether the system takes the text for a path at all, be there something or not."""
    try:
        Path(given).lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError):
        return False
    return bool(str(given))
