"""No key and no password is in what a server brings back or in what is written, and nothing goes to another host."""

import itertools
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from factory.config.apis import OpenaiEngine
from factory.engines.api.endpoint import Endpoint
from factory.engines.api.engine import ApiGenerator
from factory.errors import ConfigError
from factory.models.ref import ModelRef
from tests.intake import (
    CALLS,
    GOOD,
    KEY,
    PASSWORD,
    REQUESTS,
    RETRIEVED,
    as_wire,
    asked,
    check,
    replaced,
    results,
)
from tests.loopback import Loopback, Seen, Spoken, Wire
from tests.loopback_batch import BatchDesk


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


SECRETS = f"{KEY}, someone:{PASSWORD} and {PASSWORD}"
SPEAKING = [
    {"error": {"message": SECRETS}},
    {"error": {"message": f"{SECRETS}: unsupported seed", "param": "seed"}},
    {"error": {"message": f"{SECRETS}: flagged", "code": SECRETS}},
    {"error": SECRETS},
    {"detail": [{SECRETS: SECRETS}]},
    SECRETS,
    replaced(GOOD, ("choices", 0, "message", "content"), SECRETS),
    replaced(GOOD, ("choices", 0, "message"), {"refusal": SECRETS}),
    replaced(GOOD, ("choices", 0, "message", "content"), [{"text": SECRETS}]),
]


@pytest.mark.parametrize("form", ["plain", "escaped", "no JSON"])
def test_a_live_answer_brings_no_secret(form: str, caplog: pytest.LogCaptureFixture) -> None:
    wire, said = Wire(), []
    caplog.set_level(logging.DEBUG, "factory")
    with Loopback(faults=lambda seen: wire) as server, asked(server) as ask:
        for body, status in itertools.product(SPEAKING, [200, 302, 400, 401, 403, 404, 429, 500]):
            content = str(body) if form == "no JSON" else json.dumps(body)
            wire = Wire(status, (content.replace("sk-", "\\u0073k-") if form == "escaped" else content).encode())
            said.append(ask())
            check(said[-1])
    assert str(said).count("***") > 20
    assert KEY not in caplog.text
    assert PASSWORD not in caplog.text


LINE_PLACES = [("custom_id",), ("error",), ("response",), ("response", "status_code"), ("response", "body"), ("id",)]


def test_the_batch_api_brings_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a line of its results, good or bad, nor in the answer to any of its calls."""
    desk, said = BatchDesk(lambda seen: Spoken(SECRETS), polls=1), []
    line: tuple[tuple[str, ...], Any, int] | None = None
    call: tuple[str, Wire] | None = None

    def handle(seen: Seen) -> Wire | None:
        if call and f"{seen.method} {seen.path}".startswith(call[0]):
            return call[1]
        wire = desk.handle(seen)
        rows = results(wire, seen)
        if line is None or not rows:
            return wire
        path, value, status = line
        return as_wire([replaced(replaced(row, ("response", "status_code"), status), path, value) for row in rows])

    caplog.set_level(logging.DEBUG, "factory")
    with Loopback(other=handle) as server, asked(server, batch=True) as ask:
        for line in itertools.product(LINE_PLACES, [SECRETS, *SPEAKING[:2]], [200, 400, 500]):  # noqa: B007
            said.append(ask())  # noqa: PERF401
        line = None
        for where, body, status in itertools.product(
            CALLS, [{**RETRIEVED, "status": "failed"}, *SPEAKING[::4]], [200, 500]
        ):
            call = (where, Wire(status, json.dumps(body).encode()))
            said.append(ask())
    for found in said:
        check(found)
    assert str(said).count("***") > 20
    assert KEY not in caplog.text


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_is_sent_to_another_host(status: int, batch: bool) -> None:
    with Loopback() as other:
        elsewhere = other.base_url.replace("127.0.0.1", "localhost") + "/chat/completions"
        redirect = Wire(status, b"", {"location": elsewhere})
        with Loopback(other=lambda seen: redirect) as server, asked(server, batch=batch) as ask:
            found = ask()
        assert other.log == []
    check(found)
    assert "redirects to localhost, to which nothing is sent" in str(found)


def test_a_redirect_on_the_same_host_is_followed() -> None:
    def moved(seen: Seen) -> Wire | None:
        return None if seen.path.startswith("/v1/") else Wire(307, b"", {"location": f"/v1{seen.path}"})

    with Loopback(lambda seen: Spoken("m"), other=moved) as server:
        engine = ApiGenerator(OpenaiEngine(base_url=server.base_url.removesuffix("/v1")), ModelRef("m"))
        assert [one.text for one in engine.generate(REQUESTS)] == ["m", "m"]
        engine.close()


def test_an_exception_of_the_client_brings_no_secret() -> None:
    endpoint = Endpoint(OpenaiEngine(base_url=f"http://someone:{PASSWORD}@host.example"), ModelRef("m"))
    assert endpoint.failure(RuntimeError(f"illegal status line {KEY} {PASSWORD}")).message.count("***") == 2


@pytest.mark.parametrize("given_in", ["block", "environment"])
def test_name_and_password_of_an_address_are_used_and_written_nowhere(
    given_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://someone:{PASSWORD}@host.example/v1"
    block = OpenaiEngine(base_url=address)
    if given_in == "environment":
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        block = OpenaiEngine()
    endpoint = Endpoint(block, ModelRef("m"))
    client = endpoint.blocking_client(1.0)
    assert PASSWORD in str(client.base_url)
    client.close()
    engine = ApiGenerator(block, ModelRef("m"))
    shown = f"{block.fingerprint} {block.model_dump_json()} {engine.identity} {endpoint!r} {endpoint.scrub(address)}"
    assert "host.example" in shown
    assert PASSWORD not in shown
    with pytest.raises(ConfigError) as refused:
        Endpoint(OpenaiEngine(base_url=f"ftp://someone:{PASSWORD}@host.example"), ModelRef("m"))
    assert PASSWORD not in str(refused.value)
