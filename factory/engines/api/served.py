"""A server that the run starts itself, for one model at a time: so a trained policy can be asked over HTTP too."""

import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Self
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from factory.engine_blocks import OpenaiEngine
from factory.engines import keeper
from factory.engines.api.engine import OpenaiGenerator
from factory.engines.api.wire import estimate_tokens
from factory.engines.base import Completion, Request
from factory.engines.child import Child
from factory.errors import EngineError, one_line
from factory.identity import Messages, digest
from factory.models.load import whole
from factory.models.ref import ModelRef

CLOSE_SECONDS = 20
"""How long the server may take to end by itself."""
_POLL_SECONDS = 0.2
_KEEPER = (sys.executable, str(Path(keeper.__file__)))
"""What runs the server, and ends it when this process is gone."""


class ServedGenerator:
    """An OpenaiGenerator whose server is started by the first request and ended by `close`.

    `engine.serve` is the command, with `{model}` for the model's folder or Hub id and `{port}` for the port to listen
    on, on 127.0.0.1. The server is asked for its list of models until it answers; nothing else is waited for.
    """

    def __init__(self, block: OpenaiEngine, model: ModelRef) -> None:
        self._block, self._model = block, model
        self._running: _Running | None = None

    @property
    def identity(self) -> str:
        """Kind, model and command; the port is another one each time."""
        extra = [self._block.serve, self._block.model, self._block.structured_outputs, self._block.extra_body]
        return f"openai served {self._model.identity} {digest(extra)}"

    @property
    def context_length(self) -> int | None:
        """Known to the server alone; a prompt that does not fit comes back as a completion with an error."""
        return None

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        """An estimate, as OpenaiGenerator's."""
        return [estimate_tokens(messages) for messages in conversations]

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """As OpenaiGenerator's. Raises EngineError too when the server cannot be started or ends before it answers."""
        if self._running is None:
            self._running = _Running.start(self._block, self._model)
        yield from self._running.generator.generate(requests)

    def close(self) -> None:
        """End the server and all that it started."""
        if self._running is not None:
            self._running.close()
            self._running = None


class _Running:
    """The server while it runs, and the client that asks it."""

    def __init__(
        self, folder: tempfile.TemporaryDirectory[str], child: Child, pipe: int, generator: OpenaiGenerator
    ) -> None:
        self._folder, self._child, self._pipe, self.generator = folder, child, pipe, generator

    @classmethod
    def start(cls, block: OpenaiEngine, model: ModelRef) -> Self:
        """Start the command and wait until it answers."""
        folder = tempfile.TemporaryDirectory(prefix="sso-factory-")
        path, port = whole(model, folder.name), _free_port()
        base_url = f"http://127.0.0.1:{port}/v1"
        asked = block.model_copy(update={"serve": None, "base_url": base_url, "model": block.model or path})
        generator = OpenaiGenerator(asked, model)
        _reach_directly()
        theirs, ours = os.pipe()
        child = Child([*_KEEPER, str(theirs), *_filled(block.serve or [], path, port)], pass_fds=[theirs])
        os.close(theirs)
        running = cls(folder, child, ours, generator)
        try:
            _await(base_url, child)
        except BaseException:
            running.close()
            raise
        return running

    def close(self) -> None:
        """Close connections, end the process, remove what was made for it."""
        self.generator.close()
        self._child.ask_to_end()
        self._child.end(CLOSE_SECONDS)
        os.close(self._pipe)
        self._folder.cleanup()


def _filled(command: Sequence[str], model: str, port: int) -> list[str]:
    """The command with its placeholders filled in; `python` is the one that runs this package."""
    words = [word.replace("{model}", model).replace("{port}", str(port)) for word in command]
    return [sys.executable if words[0] == "python" else words[0], *words[1:]]


def _reach_directly() -> None:
    """Keep a proxy of the environment out of what is asked of this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(known if "127.0.0.1" in known else [*known, "127.0.0.1"])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _await(base_url: str, child: Child) -> None:
    """Return once the server answers. Raises EngineError when it ends instead."""
    opener = build_opener(ProxyHandler({}))
    while (code := child.exit_code()) is None:
        try:
            with opener.open(f"{base_url}/models", timeout=5):
                return
        except HTTPError as error:
            if error.code < 500:
                return
        except (OSError, HTTPException):
            pass
        time.sleep(_POLL_SECONDS)
    raise EngineError(
        one_line(f"engine.serve: the server ended (exit code {code}) before it answered{child.last_words()}")
    )
