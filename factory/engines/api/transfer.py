"""How an answer's bytes come in: no redirect to another host, and no more bytes than an answer may have."""

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any

LARGE = 2**20
"""Bytes above which answers are taken in one after the other, so that many large ones need the room of one."""
_ERROR_BYTES = 100_000
"""So much of an error's body is read."""
_PORTS = {"http": 80, "https": 443}


class RedirectedError(Exception):
    """The server sent the request on to another host."""


class TooLargeError(Exception):
    """The answer has more bytes than an answer may have."""


class StatusError(Exception):
    """An answer of another status than 2xx, with the beginning of its body."""

    def __init__(self, status: int, content: bytes, headers: Any) -> None:
        super().__init__(f"status {status}")
        self.status, self.content, self.headers = status, content, headers


def check(response: Any) -> None:
    """Before a body is read: raise RedirectedError where the server sends the request to another host."""
    # A redirect would carry the key and the prompt to a host that nobody chose.
    if response.has_redirect_location:
        here, there = response.url, response.url.join(response.headers["location"])
        upgraded = here.host == there.host and (_origin(here)[1:], _origin(there)[1:]) == (("http", 80), ("https", 443))
        if _origin(here) != _origin(there) and not upgraded:
            raise RedirectedError(there.host)


def hook(response: Any) -> None:
    """What a blocking client does with each response before anybody else sees it."""
    check(response)
    if not (response.is_success or response.has_redirect_location):
        kept = bytearray()
        for chunk in response.iter_bytes():
            kept += chunk
            if len(kept) > _ERROR_BYTES:
                break
        raise StatusError(response.status_code, bytes(kept[:_ERROR_BYTES]), response.headers)


async def async_hook(response: Any) -> None:
    """What an asynchronous client does with each response before anybody else sees it."""
    check(response)
    if not (response.is_success or response.has_redirect_location):
        kept = bytearray()
        async for chunk in response.aiter_bytes():
            kept += chunk
            if len(kept) > _ERROR_BYTES:
                break
        raise StatusError(response.status_code, bytes(kept[:_ERROR_BYTES]), response.headers)


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
