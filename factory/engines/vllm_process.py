"""The process that holds vLLM, seen from the side that asks: started, spoken to, ended with all that it started."""

import contextlib
import socket
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from factory.engines.child import Child, environment
from factory.engines.vllm_worker import DONE, FAILED, READY, STOP
from factory.errors import EngineError

WORKER = "factory.engines.vllm_worker"
CLOSE_SECONDS = 20
"""How long the process may take to end by itself."""


class Process:
    """The worker process: started, spoken to, and ended."""

    def __init__(self, arguments: Mapping[str, Any], lora: str | None, seeds: bool | None) -> None:
        """Start it and wait until the model is loaded; `context` is then known."""
        # Not the standard streams, into which vLLM and CUDA libraries print.
        ours, theirs = socket.socketpair()
        start = f"from {WORKER} import main; main()"  # by import, as what it sends names its module
        command = [sys.executable, "-c", start, str(theirs.fileno())]
        self._child = Child(command, environment(VLLM_NO_USAGE_STATS="1"), [theirs.fileno()])
        # Closed here: while this process holds that end too, the death of the other one is never seen.
        theirs.close()
        self._connection = Connection(ours.detach())
        try:
            self.send((dict(arguments), lora, seeds))
            self.context: int = self.receive()[1]
        # Also on Ctrl-C: a process that is still loading would go on, and keep the GPU.
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
            raise EngineError(f"vLLM failed: {value}{self._child.last_words()}")
        return kind, value

    def close(self) -> None:
        """Ask it to stop, give it a while, then end its whole group, and wait."""
        with contextlib.suppress(OSError):
            self._connection.send((STOP, None))
        self._connection.close()
        self._child.end(CLOSE_SECONDS)

    def _death(self) -> EngineError:
        # The connection breaks a moment before the process is gone and its exit code known.
        code = self._child.exit_code(5)
        return EngineError(f"the vLLM process ended (exit code {code}){self._child.last_words()}")
