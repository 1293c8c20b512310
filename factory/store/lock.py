"""One process at a time in a folder, by a lock that the kernel lets go of however the process ends."""

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory.errors import ConfigError, StoreError
from factory.store.ownership import ELSEWHERE, RECORD, require_folder

_LOCK = ".lock"
_HOLDER = re.compile(r"process \d+ on .*\n?")


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the lock of the folder `root`, made if need be; it stays only where something of the factory's lies beside.

    StoreError when another process holds it or it cannot be written, ConfigError when its lock is another's file, or
    where a file stands in its place.
    """
    require_folder(root)
    path, new = root / _LOCK, not os.path.lexists(root / _LOCK)
    try:
        root.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            raise ConfigError(f"{path} was not written by sso-factory; {ELSEWHERE}")
        # Not "w": opening must not empty the file of whoever holds it, which is where their name stands.
        lock = path.open("a+", encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError(f"{root}: the folder cannot be written ({why}); choose another one") from error
    with lock:
        lock.seek(0)
        holder = lock.read(1000)
        if holder and not _HOLDER.fullmatch(holder):
            raise ConfigError(f"{path} was not written by sso-factory; {ELSEWHERE}")
        try:
            # The kernel gives it back however the holder ends; a file that merely exists would lock a folder for ever
            # after a kill.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                raise BlockingIOError  # whoever held it took it away, and another one has made its own
        except (BlockingIOError, FileNotFoundError) as error:
            who = holder.strip() or "another process"
            raise StoreError(f"{root} is in use by {who}; wait for it or stop it") from error
        except OSError as error:
            raise StoreError(f"{root}: its file system has no locks ({error.strerror}); choose another one") from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        try:
            yield
        finally:
            if new and not (root / RECORD).exists():
                # While it is still held: unlinked after, it could be the lock that another process has just taken.
                path.unlink(missing_ok=True)


def was_locked(root: Path) -> bool:
    """Whether a process of the factory's has ever held the lock of `root`."""
    try:
        return _HOLDER.fullmatch((root / _LOCK).read_text(encoding="utf-8", errors="replace")) is not None
    except (OSError, ValueError):
        return False
