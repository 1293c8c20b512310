"""Opening files that may be compressed: what they unpack to is bounded, and known before any of it is kept."""

import gzip
import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from factory.errors import ConfigError, InputError, first_line

MOST = "SSO_FACTORY_MAX_UNPACKED_GB"
"""Variable of the environment that sets the bound."""
TIMES, FLOOR = 100, 256 << 20
"""Without it a file may unpack to so many times its size, or to so many bytes where that is more.

Texts, also of much the same rows, pack to a tenth or a fiftieth; what packs to a thousandth is made to fill a machine.
"""
_BLOCK = 1 << 20


class Compression(NamedTuple):
    """A way in which files are compressed."""

    name: str
    ending: str
    magic: tuple[bytes, ...]
    """What its files begin with."""
    opened: Callable[[Path], BinaryIO]
    """The unpacked bytes, which nobody can go back in."""


def _zstandard(path: Path) -> BinaryIO:
    # Here, as pyarrow takes longer to import than most files to read.
    import pyarrow as pa

    return cast(BinaryIO, pa.CompressedInputStream(str(path), "zstd"))


COMPRESSIONS = (
    Compression("gzip", ".gz", (b"\x1f\x8b",), lambda path: cast(BinaryIO, gzip.GzipFile(path, "rb"))),
    # pzstd puts a frame that holds no data before the others, which begins with the second.
    Compression("Zstandard", ".zst", (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"), _zstandard),
)
MAGIC = tuple(magic for one in COMPRESSIONS for magic in one.magic)


def bare_name(path: Path) -> str:
    """The file's name without the ending that says how it is compressed: `kept.jsonl` of `kept.jsonl.gz`."""
    return path.stem if path.suffix.lower() in {one.ending for one in COMPRESSIONS} else path.name


def open_unpacked(path: Path, where: str | None = None) -> BinaryIO:
    """The file's bytes, unpacked where they are compressed, whatever its name says.

    The file is unpacked once beforehand without keeping anything. InputError where it is damaged or unpacks to more
    than it may; messages call it `where`.
    """
    with path.open("rb") as raw:
        head = raw.read(max(map(len, MAGIC)))
    packed = next((one for one in COMPRESSIONS if head.startswith(one.magic)), None)
    if packed is None:
        return path.open("rb")
    _require_modest(packed, path, where or str(path))
    # Buffered, so that readers can peek without moving on.
    return io.BufferedReader(cast(io.RawIOBase, packed.opened(path)))


def _require_modest(packed: Compression, path: Path, where: str) -> None:
    size = path.stat().st_size
    most, seen = _most(size), 0
    try:
        with packed.opened(path) as unpacked:
            # Counted, not read off the file: the size that it states is modulo 4 GB, and what its maker likes.
            while block := unpacked.read(_BLOCK):
                seen += len(block)
                if seen > most:
                    raise InputError(
                        f"{where}: its {size:,} bytes unpack to more than {most:,}; if that is meant, unpack it "
                        f"yourself, or set {MOST} to the gigabytes it may take"
                    )
    except (OSError, EOFError, zlib.error) as error:
        # What the disk says has a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        why = f"the {packed.name} data in it is damaged or cut off ({first_line(error)})"
        raise InputError(f"{where}: {why}; fetch the file again") from error


def _most(packed: int) -> int:
    said = os.environ.get(MOST)
    if not said:
        return max(FLOOR, TIMES * packed)
    try:
        return int(float(said) * 1e9)
    except (ValueError, OverflowError):
        raise ConfigError(f"{MOST} is {said!r}; give it a number of gigabytes") from None
