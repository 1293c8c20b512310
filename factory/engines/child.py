"""A process that an engine or a training starts, in a group of its own, ended together with all that it started."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from factory.engines import parent_watch

CLOSE_SECONDS = 20
"""How long a kept process may take to end by itself."""
GONE_SECONDS = 5
"""How long to wait for the processes that it started, once they are killed."""
_LINES = 15
"""Last lines of its output that are told when something is wrong."""
_BYTES = 20_000
"""… of so much of it."""


class Child:
    """Its output goes to a file that is read only when something is wrong."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
    ) -> None:
        """Start it. Raises OSError when there is no such program."""
        # A file, not a pipe: a pipe that nobody reads fills up after 64 kB, and the process stands still.
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=pass_fds,
                env=env,
                # A group of its own: killing it reaches what it started in turn, and the terminal's Ctrl-C does not
                # reach it before us.
                start_new_session=True,
            )
        except BaseException:
            self._output.close()
            raise

    @property
    def group(self) -> int:
        """Number of its process group."""
        return self._process.pid

    def exit_code(self, seconds: float = 0) -> int | None:
        """Its exit code, if it ends within so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode

    def last_words(self) -> str:
        """Last lines of the output that tell something, in one line."""
        if self._output.closed:
            return ""
        self._output.seek(0)
        lines = self._output.read()[-_BYTES:].decode("utf-8", "replace").splitlines()
        telling = [line.strip() for line in lines if line.strip()][-_LINES:]
        return "; its last lines: " + " | ".join(telling) if telling else ""

    def ask_to_end(self) -> None:
        """Tell its group to end (SIGTERM)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGTERM)

    def end(self, seconds: float) -> None:
        """Give it a while to end by itself, then kill its whole group, and wait until that is gone."""
        self.exit_code(seconds)
        with contextlib.suppress(ProcessLookupError):
            # The group, also where its first process has ended: a launcher that crashed leaves its workers holding the
            # GPU.
            os.killpg(self.group, signal.SIGKILL)
            self._process.wait()
            _await_group(self.group)
        self._process.wait()
        self._output.close()


def _await_group(group: int) -> None:
    """Wait until the last process of a killed group is gone, and its memory with it."""
    until = time.monotonic() + GONE_SECONDS
    while time.monotonic() < until:
        os.killpg(group, 0)  # raises when there is none left
        time.sleep(0.05)


@contextlib.contextmanager
def kept(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """The command's process ended with the block, or with this process, however that ends: by a watch over it."""
    # The system closes our end however this process dies, SIGKILL included, when no handler or `finally` of ours runs.
    theirs, ours = os.pipe()
    try:
        try:
            child = Child([sys.executable, parent_watch.__file__, str(theirs), *command], env, pass_fds=[theirs])
        finally:
            # Ours alone must be left on this side, and none in the child: an end held open by anybody would hide that
            # we are gone.
            os.close(theirs)
        try:
            yield child
        finally:
            child.ask_to_end()
            child.end(CLOSE_SECONDS)
    finally:
        os.close(ours)


def environment(**more: str) -> dict[str, str]:
    """The environment of this process, with this package on the path of the Pythons in it, and `more`."""
    here = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": paths, **more}


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
