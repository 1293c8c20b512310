"""Where inputs lie on this disk, so that no output is put in their way, and the hash of what they hold."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from factory.identity import digest
from factory.readers.inputs.files import require_file
from factory.readers.inputs.opened import InputTable, naming
from factory.readers.inputs.sources import FUNNEL, KEPT, RUN, SAVED, PairsLike, as_list, find

_BLOCK = 1 << 20


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
        # Asked of the disk, which alone knows how long a name may be, and what lies behind it.
        Path(given).lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError):
        return False
    return bool(str(given))


def fingerprint(inputs: PairsLike, *, table: str = KEPT) -> str:
    """Hash of the content of all inputs, in order, and of the names that become their `source` or tell their split.

    Files are hashed as they lie on disk, without being parsed. Raises InputError for an input that is not there.
    """
    parts = []
    for given in as_list(inputs):
        for found in find(given, table):
            with naming(found.where):
                parts.append([found.stem, _content(found), *_split(found)])
    return digest(parts)


def _split(found: InputTable) -> list[str]:
    # Only where the stem does not say it: what was made of all other inputs is not made anew.
    told = found.called if found.split is not None or (found.stem or "").isdigit() else None
    return [] if told is None else [told]


def _content(found: InputTable) -> str:
    if found.path is not None:
        return _file(found.path)
    frame = pl.DataFrame() if found.frame is None else found.frame.collect()
    held = io.BytesIO()
    # In one chunk, since the same rows in several are other bytes.
    frame.rechunk().write_ipc_stream(held)
    return hashlib.blake2b(held.getbuffer(), digest_size=16).hexdigest()


def _file(path: Path) -> str:
    require_file(path)
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()
