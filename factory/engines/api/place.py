"""A server and a model on it: where it is, how it is called in errors and keys, and one request to it."""

import asyncio
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from factory.engine_blocks import OPENAI, OpenaiEngine
from factory.engines.api.wire import Failure, judge_status
from factory.errors import ConfigError, EngineError
from factory.identity import digest
from factory.models.ref import ModelRef

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

NO_KEY = "none"
"""Sent to servers of one's own, which ask for no key but whose clients must send one."""
_SHORTEST_SECRET = 6


class Place:
    """Never shows the key: not in its repr, not in the failures it gives."""

    def __init__(self, block: OpenaiEngine, model: ModelRef) -> None:
        self.base_url = (block.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI).rstrip("/")
        parts = urlsplit(self.base_url)
        host = parts.netloc.rpartition("@")[2]
        self.shown = urlunsplit((parts.scheme, host, parts.path, "", ""))
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigError(f"base_url {self.shown!r} is no address; it looks like https://host/v1")
        self.model = block.model or model.name
        extra: list[Any] = [block.extra_body] if block.extra_body else []
        extra += ["structured_outputs"] if block.structured_outputs else []
        self._extra = digest(extra) if extra else ""
        self._key = os.environ.get("OPENAI_API_KEY", "").strip()

    def __repr__(self) -> str:
        return f"Place({self.identity!r})"

    @property
    def identity(self) -> str:
        """Kind, address and model, and a hash of the further fields of the body where there are any."""
        return " ".join(part for part in ("openai", self.shown, self.model, self._extra) if part)

    def client(self, timeout: float) -> "AsyncOpenAI":
        """An asynchronous client that never tries again by itself. Raises EngineError where a key is needed."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(api_key=self._secret(), base_url=self.base_url, max_retries=0, timeout=timeout)

    def blocking_client(self, timeout: float, max_retries: int) -> "OpenAI":
        """A client for single calls."""
        from openai import OpenAI

        return OpenAI(api_key=self._secret(), base_url=self.base_url, max_retries=max_retries, timeout=timeout)

    def scrub(self, text: str) -> str:
        """`text` with the key, which some servers send back, blotted out."""
        return text.replace(self._key, "***") if len(self._key) >= _SHORTEST_SECRET else text

    def _secret(self) -> str:
        if not self._key and self.base_url == OPENAI:
            raise EngineError(
                "no key for OpenAI: set OPENAI_API_KEY in the environment, or base_url to a server of your own"
            )
        if not (self._key.isascii() and self._key.isprintable()):
            raise EngineError("OPENAI_API_KEY holds characters that no key has; set it again")
        return self._key or NO_KEY

    async def ask(self, client: "AsyncOpenAI", body: Mapping[str, Any], timeout: float) -> Any:
        """The JSON value the server answers `body` with, or a Failure. `timeout` covers the whole answer, seconds."""
        try:
            async with asyncio.timeout(timeout):
                rest = {name: value for name, value in body.items() if name not in ("model", "messages")}
                raw = await client.chat.completions.with_raw_response.create(
                    model=body["model"], messages=body["messages"], extra_body=rest
                )
                content = raw.content
        except TimeoutError:
            return Failure("broken", f"no answer within {timeout:g} s", charged=True)
        except Exception as error:  # noqa: BLE001 - the engine's boundary: whatever goes wrong is this request's failure
            return self.failure(error)
        try:
            return json.loads(content)
        except ValueError:
            said = "the answer is empty" if not content.strip() else "the answer is broken JSON"
            return Failure("broken", said, charged=True)

    def failure(self, error: Exception) -> Failure:
        """What an exception of the client stands for."""
        import openai

        found = Failure("broken", f"{type(error).__name__}: {error}")
        if isinstance(error, openai.APIStatusError):
            body = error.body if error.body is not None else error.response.text
            found = judge_status(error.status_code, body, error.response.headers, self.shown, self.model)
        elif isinstance(error, openai.APITimeoutError):
            found = Failure("broken", "the server did not answer in time", charged=True)
        elif isinstance(error, openai.APIConnectionError):
            cause = error.__cause__
            kind = "unreachable" if type(cause).__name__ in ("ConnectError", "ConnectTimeout") else "broken"
            said = str(cause or error) or type(cause).__name__
            found = Failure(kind, said, charged=kind == "broken")  # type: ignore[arg-type]
        elif isinstance(error, UnicodeError):
            found = Failure("refused", "the prompt holds characters that cannot be sent (lone surrogates)")
        return found._replace(message=self.scrub(found.message))
