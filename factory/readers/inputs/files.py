"""Opening one file, whatever it is called: what is inside decides, its name only where that leaves a choice."""

import io
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import polars as pl

from factory.errors import InputError
from factory.files.unpacking import MAGIC, bare_name, open_unpacked
from factory.identity import replace_surrogates
from factory.readers.inputs.class_names import by_name, features_in
from factory.readers.inputs.csv_files import read_csv
from factory.readers.inputs.opened import Opened, naming
from factory.readers.inputs.texts import Rows, read_json, read_jsonl, read_lines

SUFFIXES = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "lines",
    ".arrow": "arrow",
    ".feather": "arrow",
}
_FOREIGN = {
    **dict.fromkeys(MAGIC, "compressed twice"),
    b"PK\x03\x04": "a ZIP archive",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x80\x04\x95": "a Python pickle",
    b"\x80\x05\x95": "a Python pickle",
    b"%PDF": "a PDF",
    b"SQLite format": "an SQLite database",
}
_POINTER = b"version https://git-lfs.github.com/spec/"
_HEAD = 4096
_KNOWN = frozenset({"prompt", "chosen", "rejected", "instruction", "question", "input"})
_OBJECT = re.compile(
    rf"""\[?\s*\{{(?=\s*")\s*[^\n]*"(?:{"|".join(sorted(_KNOWN))}|messages|conversations)"\s*:""".encode()
)
"""A JSON object, alone or first in a list, whose first line has a column that is known."""


def suffix_kind(path: str | Path) -> str | None:
    """What a file is by its name, a `.gz` or `.zst` at its end aside; None for a name that says nothing."""
    return SUFFIXES.get(PurePosixPath(bare_name(Path(path))).suffix.lower())


def stem_of(path: str | Path) -> str:
    """The file's name without the endings that say what it is: `kept` of `kept.jsonl.gz`."""
    # It becomes a value of a column, and a name on disk may be of bytes that are no UTF-8.
    name = PurePosixPath(replace_surrogates(bare_name(Path(path))))
    return name.stem if name.suffix.lower() in SUFFIXES else name.name


def open_file(path: Path, where: str | None = None, *, named: bool = True) -> Opened | None:
    """The rows of a file. Parquet stays on disk until it is needed.

    `named` says that the user named this very file; for one that was found in a folder, a JSON object that is no table
    (a manifest, a configuration) gives None. Raises InputError in one sentence when the file cannot be read.
    """
    place = where or str(path)
    require_file(path)
    with naming(place), open_unpacked(path, place) as stream:
        # Peeked at, so that the reader still begins at the first byte, also where the stream is unpacked and cannot
        # cheaply go back.
        head = stream.peek(_HEAD)[:_HEAD]  # type: ignore[attr-defined]
        kind = _kind(path, head, place)
        if kind == "parquet":
            return _open_parquet(path, stream, place)
        if kind == "arrow":
            frame = _read_arrow(stream)
            return Opened(place, stem_of(path), (frame.lazy(),))
        rows = read_json(stream, place, named=named) if kind == "json" else _READERS[kind](stream, place)
        if rows is None and not named:
            return None
        if rows is None:
            # Opened anew, as what is unpacked cannot go back.
            with open_unpacked(path, place) as again:
                # An object over several lines is one row: without its line ends it is a line of JSONL.
                rows = read_jsonl(io.BytesIO(b" ".join(again.read().split(b"\n"))), place)
        return Opened(place, stem_of(path), tuple(frame.lazy() for frame in rows.frames), rows.unread, left=rows.left)


_READERS: dict[str, Callable[[BinaryIO, str], Rows]] = {
    "jsonl": read_jsonl,
    "csv": lambda stream, where: read_csv(stream, where, tabs=False),
    "tsv": lambda stream, where: read_csv(stream, where, tabs=True),
    "lines": read_lines,
}


def require_file(path: Path) -> None:
    """Raise InputError for a pipe, a device or the like, which may never end and is there only once."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no file with data in it; give a file or a folder")


def _kind(path: Path, head: bytes, where: str) -> str:
    if not head:
        raise InputError(f"{where}: the file is empty; fetch it again, or leave it out")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    _refuse_foreign(head, where)
    named, start = suffix_kind(path), head.removeprefix(b"\xef\xbb\xbf").lstrip()
    # Before the looks at its first letter: a prompt may begin with < or [.
    if named == "lines" and not _OBJECT.match(start):
        return named
    if start[:1] == b"<":
        raise InputError(f"{where}: is a web page or XML; fetch the data file itself")
    if start[:1] == b"[":
        return "json"
    if start[:1] == b"{":
        # An object that ends on a later line is JSON; read_json takes a file of one a line as well.
        return "jsonl" if named == "jsonl" else "json"
    if named in ("csv", "tsv", "json", "jsonl"):
        return named
    return _guess(head, where, named)


def _refuse_foreign(head: bytes, where: str) -> None:
    if head.startswith(_POINTER):
        raise InputError(f"{where}: is a Git LFS pointer, which only names the data; fetch that with git lfs pull")
    foreign = next((words for magic, words in _FOREIGN.items() if head.startswith(magic)), None)
    if foreign:
        raise InputError(f"{where}: is {foreign}; unpack or convert it to Parquet, JSONL, JSON or CSV, or gzip those")


def _guess(head: bytes, where: str, named: str | None) -> str:
    """CSV, when the first line names a column that is known; all else is refused."""
    header = head.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    names = header.replace(";", ",").replace("\t", ",").split(",")
    if len(names) > 1 and _KNOWN & {name.strip().strip('"') for name in names}:
        return "csv"
    if named:
        raise InputError(f"{where}: is called .{named} and is none; check that it was fetched completely")
    raise InputError(
        f"{where}: is no Parquet, JSONL, JSON or CSV that could be told by its content; give it its ending"
    )


def _open_parquet(path: Path, stream: BinaryIO, where: str) -> Opened:
    with path.open("rb") as raw:
        # A compressed file cannot be scanned: polars looks for the footer at the end of the file itself. Nor can one
        # whose name is no UTF-8, of which polars knows none.
        plain = raw.read(4) == b"PAR1" and replace_surrogates(str(path)) == str(path)
    # glob=False, since the name of a file may hold [ or *.
    held: Path | io.BytesIO = path if plain else io.BytesIO(stream.read())
    # Reads the footer, so that a torn file is told here, under its name, and not in the middle of a run.
    features = features_in(pl.read_parquet_metadata(held))
    frame = pl.scan_parquet(path, glob=False) if plain else pl.read_parquet(held, glob=False).lazy()
    return Opened(where, stem_of(path), (by_name(frame, features),), in_memory=not plain)


def _read_arrow(stream: BinaryIO) -> pl.DataFrame:
    # Read into memory, as the stream may be unpacked on its way; both forms of Arrow are called .arrow.
    data = stream.read()
    return pl.read_ipc(io.BytesIO(data)) if data.startswith(b"ARROW1") else pl.read_ipc_stream(io.BytesIO(data))
