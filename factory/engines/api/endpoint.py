"""A server and a model on it: where it is, how it is called in errors and keys, and one request to it."""

import asyncio
import base64
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import factory
from factory.config.apis import ApiEngine
from factory.engines.api import transfer
from factory.engines.api.failures import AskedServer, Failure, error_of, judge_status, short_line
from factory.engines.api.intake import UnreadableError, parsed, scrubber, text_or_value
from factory.engines.api.wire import dialect_of
from factory.errors import ConfigError, EngineError
from factory.models.ref import ModelRef

if TYPE_CHECKING:
    from openai import OpenAI

    from factory.engines.api.connection import Connection


class Endpoint:
    """Never shows the key or a password in its address: not in its repr, not in what the server says."""

    def __init__(self, block: ApiEngine, model: ModelRef) -> None:
        self._block, self._base_url, self.dialect = block, block.address, dialect_of(block)
        parts = urlsplit(self._base_url)
        user, _, host = parts.netloc.rpartition("@")
        self.shown = urlunsplit((parts.scheme, host, parts.path, "", ""))
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigError(f"base_url {self.shown!r} is no address; it looks like {block.home}")
        if parts.query or parts.fragment:
            # Not shown, as it may be a key.
            raise ConfigError(
                f"base_url {self.shown!r} goes on with ? or #, and paths are put at its end; leave that out"
            )
        self.model = block.model or model.name
        self.most = int(block.max_answer_mb * 1e6)
        """Most bytes of an answer."""
        self.ended: Callable[[], str | None] = lambda: None
        """Says why the server will never answer again, where that is known."""
        self._fold = model.fold_system * "folded"
        self._key = os.environ.get(block.key_env, "").strip()
        self._asked = AskedServer(self.shown, self.model, block.key_env, block.vendor, block.home)
        self.scrub = scrubber([self._key, *_forms(user)])
        """The gate for texts: `text` with what is secret blotted out."""

    def __repr__(self) -> str:
        return f"Endpoint({self.identity!r})"

    @property
    def identity(self) -> str:
        """Kind, address and model, and a hash of what else decides the answers where there is any."""
        return " ".join(
            part for part in (self._block.kind, self.shown, self.model, self._block.mark, self._fold) if part
        )

    def connect(self) -> "Connection":
        """An asynchronous client that never tries again by itself. Raises EngineError where a key is needed."""
        from factory.engines.api.connection import Connection

        headers = self.dialect.headers(self._block, self._secret())
        return Connection({"User-Agent": f"sso-factory/{factory.__version__}", **headers})

    def blocking_client(self, timeout: float) -> "OpenAI":
        """A client for single calls, which never tries again by itself either."""
        from openai import DefaultHttpxClient, OpenAI

        # Servers of one's own ask for no key, but this client must send one.
        secret = self._secret() or "none"
        http = DefaultHttpxClient(event_hooks={"response": [transfer.hook]})
        return OpenAI(api_key=secret, base_url=self._base_url, max_retries=0, timeout=timeout, http_client=http)

    def _secret(self) -> str:
        block = self._block
        if not self._key and self._base_url == block.home:
            do = f"set {block.key_env} in the environment, or base_url to a server of your own"
            raise EngineError(f"no key for {block.vendor}: {do}")
        if not (self._key.isascii() and self._key.isprintable()):
            raise EngineError(f"{block.key_env} holds characters that no key has; set it again")
        return self._key

    async def ask(self, connection: "Connection", body: Mapping[str, Any], timeout: float) -> Any:
        """The JSON value the server answers `body` with, or a Failure. `timeout` covers the whole answer, seconds."""
        url = self.dialect.url(self._base_url, self.model)
        try:
            async with asyncio.timeout(timeout):
                content = await connection.post(url, body, self.most)
            return parsed(content, self.scrub)
        except TimeoutError:
            return Failure("broken", f"no answer within {timeout:g} s", charged=True)
        except Exception as error:  # noqa: BLE001 - the engine's boundary: whatever goes wrong is this request's failure
            return self.failure(error)

    def refusal(self, status: int, body: Any, headers: Mapping[str, str]) -> Failure:
        """What an error status with this body stands for."""
        error = error_of(body)
        return judge_status(self.dialect.status(status, error), error, headers, self._asked)

    def failure(self, error: Exception) -> Failure:
        """What an exception of the client stands for; its message has passed the gate."""
        found = self._failure(error)
        if found.kind in ("unreachable", "broken") and (said := self.ended()):
            found = Failure("fatal", said)
        return found._replace(message=short_line(self.scrub(found.message)))

    def _failure(self, error: Exception) -> Failure:
        # The client of the batches wraps what our hooks raise, and calls all of it a connection error. By name, as live
        # requests do not load it, and what is under it is no dependency of ours.
        name = type(error).__name__
        cause = error.__cause__ if name.startswith("API") and error.__cause__ else error
        if isinstance(cause, transfer.StatusError):
            return self.refusal(cause.status, text_or_value(cause.content, self.scrub), cause.headers)
        if isinstance(cause, transfer.RedirectedError):
            said = f"{self.shown} redirects to {cause}, to which nothing is sent"
            return Failure("fatal", f"{said}; set base_url to the server that is to be asked")
        if isinstance(cause, transfer.TooLargeError):
            return Failure("refused", str(cause), charged=True)
        if name == "APITimeoutError":
            return Failure("broken", "the server did not answer in time", charged=True)
        if isinstance(cause, transfer.UnreachedError) or type(cause).__name__ in ("ConnectError", "ConnectTimeout"):
            return Failure("unreachable", str(cause) or type(cause).__name__)
        if isinstance(cause, UnicodeEncodeError):
            return Failure("refused", "the prompt holds characters that cannot be sent (lone surrogates)")
        if isinstance(cause, UnreadableError):
            return Failure("broken", str(cause), charged=True)
        said = f"{type(cause).__name__}: {cause}".removesuffix(": ")
        return Failure("broken", said, charged=True)


def _forms(user: str) -> list[str]:
    """A name and password as they may come back: as written, decoded, the password alone, and in a header."""
    if not user:
        return []
    plain = unquote(user)
    passwords = [text.partition(":")[2] for text in (user, plain)]
    return [user, plain, *passwords, base64.b64encode(plain.encode()).decode()]
