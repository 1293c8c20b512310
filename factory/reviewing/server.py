"""The review's server: this machine alone, under an address nobody can guess, for the page it serves and no other."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from factory.errors import ConfigError
from factory.reviewing.page import page, state
from factory.reviewing.session import Session, StaleAnswerError

HOST = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(session: Session, landed: Callable[[], object], opened: Callable[[str], object], port: int = 0) -> None:
    """Serve the review until it is finished on the page, or stopped by Ctrl-C.

    `opened` is told the address; `landed` is called after each change. `port` 0 takes any free one.
    """
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(session, landed, opened, port))


async def _serve(session: Session, landed: Callable[[], object], opened: Callable[[str], object], port: int) -> None:
    # Any web page that is open in the browser may send requests to 127.0.0.1; none of them knows this path.
    token, finished = secrets.token_urlsafe(24), asyncio.Event()
    app = web.Application(middlewares=[_guard], client_max_size=4096)
    app.add_routes(_routes(f"/{token}", session, landed, finished))
    # No log of accesses: its lines would hold the token.
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(f"port {port} of {HOST} cannot be used ({why}); choose another one") from error
        opened(f"http://{HOST}:{runner.addresses[0][1]}/{token}/")
        await finished.wait()
        await asyncio.sleep(0.2)  # the page's last answer is on its way
    finally:
        await runner.cleanup()


def _routes(root: str, session: Session, landed: Callable[[], object], finished: asyncio.Event) -> list[web.RouteDef]:
    body, headers = page()

    async def show(request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="text/html", headers=headers)

    async def now(request: web.Request) -> web.Response:
        return web.json_response(state(session))

    async def answer(request: web.Request) -> web.Response:
        try:
            said = await request.json()
            session.answer(int(said["turn"]), str(said["answer"]))
        # What is no JSON, or no object, is no answer to the current pair either.
        except (KeyError, TypeError, ValueError, StaleAnswerError):
            return web.json_response({**state(session), "stale": True}, status=409)
        landed()
        return web.json_response(state(session))

    async def finish(request: web.Request) -> web.Response:
        finished.set()
        return web.json_response({})

    pages = [web.get(f"{root}/", show), web.get(f"{root}/state", now)]
    return [*pages, web.post(f"{root}/answer", answer), web.post(f"{root}/finish", finish)]


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what another name for this machine, or another site's page, sends; say nothing of why to either."""
    port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
    # The Host header: a name of an attacker's that resolves to 127.0.0.1 has the browser call this its own site.
    hosts = {f"{HOST}:{port}", f"localhost:{port}"}
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin not in {f"http://{host}" for host in hosts}
    site = request.headers.get("Sec-Fetch-Site", "none")
    # A form of another site can post text or form data without asking first, but not JSON.
    json_said = request.method != "POST" or request.content_type == "application/json"
    if request.headers.get("Host") not in hosts or foreign or site not in ("none", "same-origin") or not json_said:
        raise web.HTTPForbidden(headers=_HEADERS)
    try:
        response = await handler(request)
    except web.HTTPException as refused:
        refused.headers.update(_HEADERS)
        raise
    response.headers.update(_HEADERS)
    return response
