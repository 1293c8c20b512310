"""Opening files that may be gzipped: what they unpack to is bounded, and known before any of it is kept."""

import gzip
import io
import os
import zlib
from pathlib import Path
from typing import BinaryIO

from factory.errors import ConfigError, InputError

GZIP = b"\x1f\x8b"
MOST = "SSO_FACTORY_MAX_UNPACKED_GB"
"""Variable of the environment that sets the bound."""
TIMES, FLOOR = 100, 256 << 20
"""Without it a file may unpack to so many times its size, or to so many bytes where that is more.

Texts, also of much the same rows, pack to a tenth or a fiftieth; what packs to a thousandth is made to fill a machine.
"""
_BLOCK = 1 << 20


def open_unpacked(path: Path, where: str | None = None) -> BinaryIO:
    """The file's bytes, unpacked where they are gzipped, whatever its name says.

    The file is unpacked once beforehand without keeping anything. InputError where it is damaged or unpacks to more
    than it may; messages call it `where`.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        if packed:
            _require_modest(raw, path.stat().st_size, where or str(path))
    # Buffered, so that readers can peek without moving on.
    return io.BufferedReader(gzip.GzipFile(path, "rb")) if packed else path.open("rb")


def _require_modest(raw: BinaryIO, packed: int, where: str) -> None:
    most, seen = _most(packed), 0
    try:
        with gzip.GzipFile(fileobj=raw) as unpacked:
            # Counted, not read off the file's trailer: that holds the size modulo 4 GB, and says what its maker likes.
            while block := unpacked.read(_BLOCK):
                seen += len(block)
                if seen > most:
                    raise InputError(
                        f"{where}: its {packed:,} bytes unpack to more than {most:,}; if that is meant, unpack it "
                        f"yourself, or set {MOST} to the gigabytes it may take"
                    )
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{where}: the gzip data in it is damaged or cut off; fetch the file again") from error


def _most(packed: int) -> int:
    said = os.environ.get(MOST)
    if not said:
        return max(FLOOR, TIMES * packed)
    try:
        return int(float(said) * 1e9)
    except (ValueError, OverflowError):
        raise ConfigError(f"{MOST} is {said!r}; give it a number of gigabytes") from None
