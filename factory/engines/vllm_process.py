"""The process that holds vLLM, seen from the side that asks: started, spoken to, ended with all that it started."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from factory.engines.vllm_worker import DONE, FAILED, READY, STOP
from factory.errors import EngineError

WORKER = "factory.engines.vllm_worker"
CLOSE_SECONDS = 20
"""How long the process may take to end by itself."""
GONE_SECONDS = 5
"""How long to wait for the processes that it started, once they are killed."""
ERROR_LINES = 15
"""Last lines of its output to look at when it has died."""


class Process:
    """The worker process: started, spoken to, and ended. Its output goes to a file that is read only when it dies."""

    def __init__(self, arguments: Mapping[str, Any], lora: str | None, seeds: bool | None) -> None:
        """Start it and wait until the model is loaded; `context` is then known."""
        ours, theirs = socket.socketpair()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        start = f"from {WORKER} import main; main()"  # by import, as what it sends names its module
        command = [sys.executable, "-c", start, str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            pass_fds=[theirs.fileno()],
            env=_environment(),
            start_new_session=True,  # so that it can be ended together with the processes it starts
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        try:
            self.send((dict(arguments), lora, seeds))
            self.context: int = self.receive()[1]
        except BaseException:
            self.close()
            raise

    def send(self, message: Any) -> None:
        """Raises EngineError when the process is gone."""
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._death() from error

    def receive(self) -> tuple[str, Any]:
        """The next message. Raises EngineError when vLLM failed or its process is gone."""
        try:
            kind, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        if kind not in (READY, DONE, FAILED):
            raise EngineError(f"vLLM failed: {value}{self._last_words()}")
        return kind, value

    def close(self) -> None:
        """Ask it to stop, give it a while, then end its whole group, and wait."""
        with contextlib.suppress(OSError):
            self._connection.send((STOP, None))
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            _await_group(self._process.pid)
        self._process.wait()
        self._output.close()

    def _death(self) -> EngineError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        return EngineError(f"the vLLM process ended (exit code {self._process.returncode}){self._last_words()}")

    def _last_words(self) -> str:
        """Last lines of the output that tell something, in one line."""
        if self._output.closed:
            return ""
        self._output.seek(0)
        lines = self._output.read()[-20000:].decode("utf-8", "replace").splitlines()
        telling = [line.strip() for line in lines if line.strip()][-ERROR_LINES:]
        return "; its last lines: " + " | ".join(telling) if telling else ""


def _await_group(group: int) -> None:
    """Wait until the last process of a killed group is gone, and its memory with it."""
    until = time.monotonic() + GONE_SECONDS
    while time.monotonic() < until:
        os.killpg(group, 0)  # raises when there is none left
        time.sleep(0.05)


def _environment() -> dict[str, str]:
    """Ours, with this package importable and vLLM's usage reports off."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "VLLM_NO_USAGE_STATS": "1", "PYTHONPATH": os.pathsep.join(paths)}
