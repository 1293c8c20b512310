"""Rows of anyone's data file as they are, one at a time, for checking."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from factory.errors import InputError, first_line
from factory.files.json_text import parsed
from factory.files.unpacking import bare_name, open_unpacked

SUFFIXES = (".parquet", ".json", ".jsonl", ".ndjson", ".csv")
ABOUT = ("croissant.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files beside data that say what it is."""
_NOT_DATA = {*ABOUT, "config.json", "funnel.json"}


class LocatedRow(NamedTuple):
    """A row and where it is."""

    file: Path
    number: int
    """From 1."""
    cells: Any
    """A dict, unless the file holds something else."""


def data_files(path: Path) -> list[Path]:
    """The data files of a folder (hidden ones left out), or the file itself."""
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.is_file():
        return [path]
    files = (p for p in sorted(path.rglob("*")) if p.is_file())
    inside = (p for p in files if suffix_of(p) in SUFFIXES and p.name not in _NOT_DATA)
    # Of the path within the folder alone: the folder itself may lie below a hidden one.
    found = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
    if not found:
        raise InputError(f"{path} holds no {', '.join(SUFFIXES)} file (each may be gzipped, or compressed as .zst)")
    return found


def rows(path: Path) -> Iterator[LocatedRow]:
    """Every row of a file or of all data files of a folder. Raises InputError for a file that cannot be read."""
    for file in data_files(path):
        try:
            for number, cells in enumerate(_cells(file), 1):
                yield LocatedRow(file, number, cells)
        except (OSError, ValueError, EOFError, csv.Error) as error:
            raise InputError(f"{file} cannot be read as {suffix_of(file).lstrip('.')}: {first_line(error)}") from None


def suffix_of(path: Path) -> str:
    """The kind of a file, whether it is compressed or not."""
    return Path(bare_name(path)).suffix.lower()


def _cells(file: Path) -> Iterator[Any]:
    match suffix_of(file):
        case ".parquet":
            yield from _parquet(file)
        case ".csv":
            with _open(file) as text:
                yield from csv.DictReader(text)
        case ".json" | ".jsonl" | ".ndjson":
            yield from _json(file)
        case other:
            raise InputError(f"{file}: {other or 'a file without suffix'} is not one of {', '.join(SUFFIXES)}")


def _open(file: Path) -> IO[str]:
    # utf-8-sig takes off a byte order mark; newline="" leaves line ends within a CSV cell to the csv module.
    return io.TextIOWrapper(open_unpacked(file), encoding="utf-8-sig", newline="")


def _parquet(file: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches(batch_size=1_000):
        yield from batch.to_pylist()


def _json(file: Path) -> Iterator[Any]:
    with _open(file) as text:
        head = text.read(1)
        # The first letter tells an array from a value a line, whatever the ending says.
        while head.isspace():
            head = text.read(1)
    with _open(file) as text:
        if head == "[":
            yield from parsed(text.read())
        else:
            yield from (parsed(line) for line in text if line.strip())
