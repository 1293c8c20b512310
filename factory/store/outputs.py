"""The files a stage leaves behind, and its manifest: put in place whole, known again by size, time stamp and digest."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from factory.errors import StoreError
from factory.identity import digest
from factory.store.journal import Usage


class Output(NamedTuple):
    """A file a stage left behind, as its manifest knows it."""

    size: int
    mtime_ns: int
    digest: str


def digest_of(outputs: Mapping[str, Output]) -> str:
    """Hash of the contents of all files of a stage: the fingerprint input of whatever reads them."""
    return digest({name: output.digest for name, output in outputs.items()})


def tables_of(name: str) -> tuple[str, ...]:
    """The files of a stage that makes a table."""
    leaf = Path(name).name
    return f"{leaf}.parquet", f"{leaf}.rejected.parquet"


class Scratch(NamedTuple):
    """What a stage keeps beside its outputs: names within the run folder."""

    manifest: str
    journal: str
    partial: str
    """The folder it is made in."""


def scratch_of(name: str) -> Scratch:
    """That of the stage `name`."""
    folder, leaf = Path(name).parent, Path(name).name
    files = (f"{leaf}.manifest.json", f"{leaf}.journal.jsonl", f".{leaf}.partial")
    return Scratch(*((folder / file).as_posix() for file in files))


def described(folder: Path) -> dict[str, Output]:
    """Every file in `folder`, synced, by its name within it."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        # Opened for writing, as some systems sync only such; without it a power cut can leave a renamed file that is
        # empty.
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        stat = path.stat()
        output = Output(stat.st_size, stat.st_mtime_ns, file_digest(path))
        found[path.relative_to(folder).as_posix()] = output
    return found


def file_digest(path: Path) -> str:
    """Hash of what a file holds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def hashed(data: bytes) -> str:
    """The same of bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def problem(path: Path, output: Output) -> str | None:
    """Why the file is not what the stage left, or None. Contents are hashed only when the time stamp differs."""
    if not path.is_file():
        return "is gone"
    stat = path.stat()
    if stat.st_size != output.size:
        return "has another size"
    # Copying a folder changes time stamps and nothing else; hashing every file at each start would read all that there
    # is.
    if stat.st_mtime_ns != output.mtime_ns and file_digest(path) != output.digest:
        return "has other contents"
    return None


def write_json(path: Path, value: Any) -> None:
    """Write JSON to a temporary name, sync, and rename, so that the file is whole or absent."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """JSON as files of the factory's hold it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write text to a temporary name, sync, and rename, so that the file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, since a rename is atomic within one file system only.
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


MANIFEST_VERSION = 1


class _Versioned(BaseModel, strict=True):
    version: int


class _Facts(BaseModel, strict=True, extra="allow"):
    rows: int | None = None
    rejected: int | None = None
    reasons: dict[str, int] = {}
    values: dict[str, int] = {}


class _Manifest(_Versioned):
    """What a manifest holds; of any other types it is none."""

    stage: str
    fingerprint: str
    inputs: dict[str, Any]
    outputs: dict[str, tuple[int, int, str]]
    facts: _Facts
    used: dict[str, Usage] = {}
    seconds: float | None = None


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest at `path`, or None where there is none that can be read."""
    try:
        content = path.read_bytes()
        # Before the rest: a newer version may have other fields, and taken for garbage its stage would be made again,
        # and paid again.
        if _Versioned.model_validate_json(content).version > MANIFEST_VERSION:
            raise StoreError(f"{path} was written by a newer version of sso-factory; upgrade to go on with this run")
        return _Manifest.model_validate_json(content).model_dump(exclude_unset=True)
    except (FileNotFoundError, ValidationError):
        return None
