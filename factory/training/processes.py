"""One training in several processes, as `accelerate launch` and `torchrun` start them. Importing this loads no torch.

Process 0 holds the output folder; the others wait for its word, train along in its work folder and leave. Word and
failures go through the launcher's key-value store, which needs nobody to be at the same place in the code: whoever
fails first says so, the others leave without a word.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from factory.errors import ConfigError, FactoryError, TrainingError

_FAILED = "sso-factory/failed"
_PATIENCE = timedelta(days=7)
"""How long process 0 may take to read the pairs; a launcher ends the others when it dies."""
_LOST = ("peer", "gloo", "nccl", "store", "socket", "connection")


def rank() -> int:
    """Which of the launched processes this is; 0 where there is one alone."""
    return int(os.environ.get("RANK") or 0) if world() > 1 else 0


def world() -> int:
    """How many processes were launched together."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def alone(command: str) -> None:
    """Raise ConfigError where several processes were launched for a command that is for one."""
    if world() > 1:
        raise ConfigError(f"{command} is for one process and {world()} were launched; only train is for several")


class ProcessGroup:
    """The processes of one call of `train`; with one alone nothing here does anything."""

    def __init__(self) -> None:
        self._store = _store(_PATIENCE) if world() > 1 else None
        # Counted, since a script may train twice under one launcher.
        self._word = f"sso-factory/word/{self._store.add(f'sso-factory/calls/{rank()}', 1)}" if self._store else ""
        self._told = False

    @contextmanager
    def rank_zero_first(self) -> Iterator[None]:
        """What process 0 does in the block the others hear the end of, be it that nothing was left to train."""
        try:
            yield
        except BaseException as error:
            stopped = TrainingError("process 0 has stopped; the same command goes on from here")
            self.announce(None, error if isinstance(error, FactoryError) else stopped)
            raise
        self.announce(None)

    def announce(self, work: Path | None, error: FactoryError | None = None) -> None:
        """Give the word, once: train in `work`; or None, there is nothing to train, perhaps because of `error`."""
        if self._store is None or self._told:
            return
        self._told = True
        said: dict[str, Any] = {"work": None if work is None else str(work.resolve())}
        if error is not None:
            said |= told(error)
        self._store.set(self._word, json.dumps(said))

    def wait(self) -> Path | None:
        """The others: where to train, or None when all is done. Raises process 0's error."""
        assert self._store is not None
        try:
            # Blocks until the key is there; a barrier instead would need process 0 to reach the same line, which it
            # does not if it fails.
            said = json.loads(self._store.get(self._word))
        except RuntimeError as error:
            raise TrainingError("process 0 is gone; start the same command again") from error
        if "error" in said:
            raise failure(said)
        return None if said["work"] is None else Path(said["work"])


def told(error: FactoryError) -> dict[str, Any]:
    """An error as JSON values, for another process."""
    return {"error": str(error), "exit_code": error.exit_code}


def failure(said: Mapping[str, Any]) -> FactoryError:
    """The error that another process told."""
    error = FactoryError(said["error"])
    error.exit_code = int(said["exit_code"])
    return error


def lost(error: RuntimeError) -> TrainingError | None:
    """What to say when torch breaks off because another process is gone; None when `error` is this one's own."""
    if world() == 1 or not any(word in str(error).lower() for word in _LOST):
        return None
    return TrainingError(
        "another process of this training has ended; its message says why, and if there is none it was killed, perhaps "
        "for want of memory; the same command goes on from the last checkpoint"
    )


def first_to_fail() -> bool:
    """Whether this process is the one to say what went wrong: the first of all that fail."""
    if world() == 1:
        return True
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher's, when another failed; this one ends by itself
    try:
        # Atomic in the store: of several that fail at once exactly one sees its own number there.
        first = _store(timedelta(seconds=5)).compare_set(_FAILED, "", str(rank()))
        return bool(first == str(rank()).encode())
    except (RuntimeError, ImportError):
        return rank() == 0


def leave(code: Any) -> NoReturn:
    """End one of several processes without torch's own exit, which may abort (gloo) or wait for the dead (NCCL)."""
    # os._exit skips Python's own flushing.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _store(timeout: timedelta) -> Any:
    from torch.distributed.rendezvous import rendezvous

    # The launcher's own, so that it is there before the processes of torch have met, and when some are gone.
    store, *_ = next(rendezvous("env://", timeout=timeout))
    return store
