"""What identifies the content of inputs, so that a stage made from them can tell whether they changed."""

import hashlib
import io
from pathlib import Path

import polars as pl

from factory.identity import digest
from factory.readers.files import require_file
from factory.readers.opened import naming
from factory.readers.sources import KEPT, InputTable, PairsLike, as_list, find

_BLOCK = 1 << 20


def fingerprint(inputs: PairsLike, *, table: str = KEPT) -> str:
    """Hash of the content of all inputs, in order, and of the names that become their `source`.

    Files are hashed as they lie on disk, without being parsed. Raises InputError for an input that is not there.
    """
    parts = []
    for given in as_list(inputs):
        for found in find(given, table):
            with naming(found.where):
                parts.append([found.stem, _content(found)])
    return digest(parts)


def _content(found: InputTable) -> str:
    if found.path is not None:
        return _file(found.path)
    frame = pl.DataFrame() if found.frame is None else found.frame.collect()
    held = io.BytesIO()
    frame.rechunk().write_ipc_stream(held)
    return hashlib.blake2b(held.getbuffer(), digest_size=16).hexdigest()


def _file(path: Path) -> str:
    require_file(path)
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()
