"""How an answer's bytes come in: no redirect to another host, and no more bytes than an answer may have."""

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any

LARGE = 2**20
"""Bytes above which answers are taken in one after the other, so that many large ones need the room of one."""
_ERROR_BYTES = 100_000
"""So much of an error's body is read."""
_PORTS = {"http": 80, "https": 443}
REDIRECTS = (301, 302, 303, 307, 308)
"""Statuses that send the request on, where they say where to."""


class UnreachedError(Exception):
    """Nobody listens at the address; says why."""


class RedirectedError(Exception):
    """The server sent the request on to another host."""


class TooLargeError(Exception):
    """The answer has more bytes than an answer may have."""


class StatusError(Exception):
    """An answer of another status than 2xx, with the beginning of its body."""

    def __init__(self, status: int, content: bytes, headers: Any) -> None:
        super().__init__(f"status {status}")
        self.status, self.content, self.headers = status, content, headers


def require_same_host(here: Any, there: Any) -> None:
    """Raise RedirectedError where `there` is another host than `here`; both are URLs by their parts."""
    # A redirect would carry the key and the prompt to a host that nobody chose.
    upgraded = here.host == there.host and (_origin(here)[1:], _origin(there)[1:]) == (("http", 80), ("https", 443))
    if _origin(here) != _origin(there) and not upgraded:
        raise RedirectedError(there.host)


def hook(response: Any) -> None:
    """What a blocking client does with each response before anybody else sees it."""
    if response.has_redirect_location:
        require_same_host(response.url, response.url.join(response.headers["location"]))
    elif not response.is_success:
        begun = next(response.iter_bytes(_ERROR_BYTES), b"")
        raise StatusError(response.status_code, begun, response.headers)


async def beginning(chunks: AsyncIterable[bytes]) -> bytes:
    """So much of an error's body as is read."""
    kept = bytearray()
    async for chunk in chunks:
        kept += chunk
        if len(kept) > _ERROR_BYTES:
            break
    return bytes(kept[:_ERROR_BYTES])


def whole(chunks: Iterable[bytes], most: int) -> bytes:
    """The body that comes in `chunks`. Raises TooLargeError above `most` bytes."""
    kept = bytearray()
    for chunk in chunks:
        _grow(kept, chunk, most)
    return bytes(kept)


async def awaited(chunks: AsyncIterable[bytes], most: int, turn: asyncio.Lock) -> bytes:
    """As `whole`; `turn` is held from the moment that the body is a large one."""
    kept, held = bytearray(), False
    try:
        async for chunk in chunks:
            _grow(kept, chunk, most)
            if len(kept) > LARGE and not held:
                held = await turn.acquire()
        return bytes(kept)
    finally:
        if held:
            turn.release()


def _grow(kept: bytearray, chunk: bytes, most: int) -> None:
    kept += chunk
    if len(kept) > most:
        raise TooLargeError(f"the answer is larger than {most / 1e6:,.3g} MB (engine.max_answer_mb)")


def _origin(url: Any) -> tuple[str, str, int | None]:
    return url.host, url.scheme, url.port or _PORTS.get(url.scheme)
