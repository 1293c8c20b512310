"""The files a stage leaves behind: put in place whole, and known again by size, time stamp and digest."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Output(NamedTuple):
    """A file a stage left behind, as its manifest knows it."""

    size: int
    mtime_ns: int
    digest: str


def remove_stale(former: Iterable[str], partial: Path, folder: Path) -> None:
    """Remove from `folder` the files that a stage left there before and that `partial` does not hold again.

    Done while the manifest still lists them: a process that is killed amid it does so again. A manifest from elsewhere
    may list what it likes: nothing outside `folder` is touched.
    """
    for file in former:
        inside = not Path(file).is_absolute() and ".." not in Path(file).parts
        if inside and not (partial / file).is_file() and (folder / file).is_file():
            (folder / file).unlink(missing_ok=True)


def move_up(partial: Path, folder: Path) -> dict[str, Output]:
    """Move everything in `partial` into `folder`, synced, and list every file with its digest.

    What begins with a dot is scratch, perhaps of a process that was killed, and is dropped.
    """
    for scratch in partial.glob(".*"):
        shutil.rmtree(scratch) if scratch.is_dir() else scratch.unlink()
    outputs: dict[str, Output] = {}
    for path in sorted(p for p in partial.rglob("*") if p.is_file()):
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        outputs[path.relative_to(partial).as_posix()] = _describe(path)
    for entry in sorted(partial.iterdir()):
        target = folder / entry.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        entry.replace(target)
    partial.rmdir()
    return outputs


def _describe(path: Path) -> Output:
    stat = path.stat()
    return Output(stat.st_size, stat.st_mtime_ns, _file_digest(path))


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def problem(path: Path, output: Output) -> str | None:
    """Why the file is not what the stage left, or None. Contents are hashed only when the time stamp differs."""
    if not path.is_file():
        return "is gone"
    stat = path.stat()
    if stat.st_size != output.size:
        return "has another size"
    if stat.st_mtime_ns != output.mtime_ns and _file_digest(path) != output.digest:
        return "has other contents"
    return None
