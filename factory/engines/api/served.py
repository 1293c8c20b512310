"""A server that the run starts itself, for one model at a time: so a trained policy can be asked over HTTP too."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from factory.config.apis import OpenaiEngine
from factory.engines.api.accounts import Account
from factory.engines.api.engine import ApiGenerator, ServerSide
from factory.engines.api.intake import Scrub
from factory.engines.base import Completion, Request
from factory.engines.child import Child, free_port, kept
from factory.errors import EngineError, one_line
from factory.identity import digest
from factory.models.load import merged_path
from factory.models.ref import ModelRef

_POLL_SECONDS = 0.2


class ServedGenerator(ServerSide):
    """An ApiGenerator whose server is started by the first request and ended by `close`.

    `engine.serve` is the command, with `{model}` for the model's folder or Hub id and `{port}` for the port to listen
    on, on 127.0.0.1. The server is asked for its list of models until it answers; nothing else is waited for.
    """

    def __init__(self, block: OpenaiEngine, model: ModelRef) -> None:
        self._block, self._model = block, model
        self._held = ExitStack()
        self._asked: ApiGenerator | None = None
        self._accounts: Sequence[Account] = ()
        self.server: Child | None = None
        """The server's process while it runs."""

    @property
    def identity(self) -> str:
        """Kind, model and command; the port is another one each time."""
        extra = [self._block.serve, self._block.model, self._block.structured_outputs, self._block.extra_body]
        return f"openai served {self._model.identity} {digest(extra)}"

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """As ApiGenerator's. Raises EngineError too when the server cannot be started or ends before it answers."""
        if self._asked is None:
            self._asked = self._start()
        yield from self._asked.generate(requests)

    def charge(self, accounts: Sequence[Account]) -> None:
        """As ApiGenerator's."""
        self._accounts = accounts
        if self._asked is not None:
            self._asked.charge(accounts)

    def close(self) -> None:
        """End the server and all that it started."""
        self._asked = self.server = None
        self._held.close()

    def _start(self) -> ApiGenerator:
        """Start the server and wait until it answers."""
        with ExitStack() as opened:
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="sso-factory-"))
            path, port = merged_path(self._model, folder), free_port()
            base_url = f"http://127.0.0.1:{port}/v1"
            update = {"serve": None, "base_url": base_url, "model": self._block.model or path}
            asked = ApiGenerator(self._block.model_copy(update=update), self._model)
            _reach_directly()
            server = self.server = opened.enter_context(kept(_filled(self._block.serve or [], path, port)))
            opened.callback(asked.close)
            if self._accounts:
                asked.charge(self._accounts)
            asked.endpoint.ended = lambda: _ended(server, "while it was asked", asked.endpoint.scrub)
            _await(base_url, server, self._block.patience * 60, asked.endpoint.scrub)
            # Only now: whatever fails before, the stack ends the server again on the way out.
            self._held = opened.pop_all()
        return asked


def _filled(command: Sequence[str], model: str, port: int) -> list[str]:
    """The command with its placeholders filled in; `python` is the one that runs this package."""
    words = [word.replace("{model}", model).replace("{port}", str(port)) for word in command]
    return [sys.executable if words[0] == "python" else words[0], *words[1:]]


def _reach_directly() -> None:
    """Keep a proxy of the environment out of what is asked of this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(known if "127.0.0.1" in known else [*known, "127.0.0.1"])


def _ended(child: Child, when: str, scrub: Scrub) -> str | None:
    """The sentence on a server that has ended, with its last words; None while it runs."""
    code = child.exit_code(_POLL_SECONDS)
    if code is None:
        return None
    return one_line(scrub(f"engine.serve: the server ended (exit code {code}) {when}{child.last_words()}"))


def _await(base_url: str, child: Child, patience: float, scrub: Scrub) -> None:
    """Return once the server answers. Raises EngineError when it ends instead, or has not answered for so long."""
    opener = build_opener(ProxyHandler({}))
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if (said := _ended(child, "before it answered", scrub)) is not None:
            raise EngineError(said)
        try:
            with opener.open(f"{base_url}/models", timeout=5):
                return
        except HTTPError as error:
            # Any answer but a server's error says that it is up; some know no list of models.
            if error.code < 500:
                return
        except (OSError, HTTPException):
            pass
    waited = f"engine.serve: the server did not answer for {patience / 60:,.3g} minutes (engine.patience)"
    raise EngineError(one_line(scrub(f"{waited}{child.last_words()}")))
