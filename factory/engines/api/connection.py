"""Connections to a server, kept and used again: JSON out, the bytes of an answer in."""

import asyncio
import json
import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from yarl import URL

from factory.engines.api import transfer

_REDIRECTS = 20
"""So many redirects are followed before the server is taken to lead in a circle."""
_TO_GET = (301, 302, 303)
"""Redirects after which the place is looked at, and nothing sent there."""
_IDLE_SECONDS = 5.0
"""Servers close what is idle for longer, and a request sent at that moment is lost."""


class Connection:
    """Asks one server many times at once. It belongs to the event loop it is first used in.

    It tries nothing again by itself, as that would go past the limiter, and its tokens past the accounts. It has no
    ceiling and no timeout either: the limiter has the one, and its caller the other.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = {"Content-Type": "application/json", **headers}
        self._turn = asyncio.Lock()
        """That large answers take."""
        self._session: aiohttp.ClientSession | None = None
        self._places: dict[str, _Place] = {}

    async def post(self, url: str, body: Mapping[str, Any], most: int) -> bytes:
        """What the server answers `body` with, at most `most` bytes of it.

        Raises an error of `transfer`, a UnicodeEncodeError for lone surrogates, and what aiohttp raises.
        """
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        place = self._places.get(url)
        if place is None:
            place = self._places[url] = _Place(URL(url), self._headers)
        try:
            return await self._send("POST", place, content, most)
        except aiohttp.ClientConnectorError as error:
            at = f" at the proxy {URL(place.proxy).origin()} of the environment" if place.proxy else ""
            raise transfer.UnreachedError(f"{_reason(error)}{at}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, method: str, place: "_Place", content: bytes | None, most: int) -> bytes:
        here = place.url
        for _ in range(_REDIRECTS):
            request = self._open().request(
                method, here, data=content, headers=place.headers, proxy=place.proxy, allow_redirects=False
            )
            async with request as answer:
                there = answer.headers.get("location") if answer.status in transfer.REDIRECTS else None
                if there is None and 200 <= answer.status < 300:
                    return await transfer.awaited(answer.content.iter_any(), most, self._turn)
                if there is None:
                    begun = await transfer.beginning(answer.content.iter_any())
                    raise transfer.StatusError(answer.status, begun, answer.headers)
                method, content = ("GET", None) if answer.status in _TO_GET else (method, content)
            here, before = here.join(URL(there)), here
            transfer.require_same_host(before, here)
        raise transfer.StatusError(answer.status, f"it redirects more than {_REDIRECTS} times".encode(), answer.headers)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS, ssl=_certificates())
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


class _Place:
    """An address, what is sent with each request to it, and the proxy on the way: looked up once."""

    def __init__(self, url: URL, headers: Mapping[str, str]) -> None:
        self.url, self.headers = url.with_user(None), dict(headers)
        if url.user:
            login = f"{url.user}:{url.password or ''}".encode()
            self.headers["Authorization"] = f"Basic {b64encode(login).decode()}"
        proxies = {} if proxy_bypass(url.host or "") else getproxies()
        proxy = proxies.get(url.scheme) or proxies.get("all")
        self.proxy = proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _certificates() -> ssl.SSLContext | bool:
    """The system's certificates, which aiohttp takes by itself; those of certifi where it has none."""
    paths = ssl.get_default_verify_paths()
    return True if paths.cafile or paths.capath else ssl.create_default_context(cafile=certifi.where())


def _reason(error: aiohttp.ClientConnectorError) -> str:
    number = error.os_error.errno
    return os.strerror(number) if number and number > 0 else error.os_error.strerror or str(error)
