"""Connections to a server: what is sent with each request, through which proxy, and where redirects lead."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from factory.config.apis import OpenaiEngine
from factory.engines.api.engine import ApiGenerator
from factory.engines.base import Completion, Request
from factory.errors import EngineError
from factory.models.ref import ModelRef
from tests.loopback import Loopback, Seen, Wire, completion, echo

ROOT = Path(__file__).parents[4]
REQUEST = Request("r", [{"role": "user", "content": "Who are you?"}], 8)
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", *PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")


def ask(base_url: str) -> Completion:
    with closing(ApiGenerator(OpenaiEngine(base_url=base_url, max_retries=0), ModelRef("m"))) as engine:
        (answer,) = engine.generate([REQUEST])
    return answer


def test_name_and_password_of_an_address_go_in_place_of_the_key() -> None:
    """`someone:pass word` in base64."""
    with Loopback() as server:
        assert ask(server.base_url.replace("//", "//someone:pass%20word@")).error is None
    (seen,) = server.log
    assert seen.headers["authorization"] == "Basic c29tZW9uZTpwYXNzIHdvcmQ="
    assert "someone" not in seen.headers["host"]


def test_organisation_and_project_are_those_of_openais_own_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    with Loopback() as server:
        ask(server.base_url)
    (seen,) = server.log
    assert (seen.headers["openai-organization"], seen.headers["openai-project"]) == ("org-1", "proj-1")
    assert seen.headers["authorization"] == "Bearer sk-of-nobody"


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_a_proxy_of_the_environment_is_used_but_for_hosts_it_is_not_for(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy is asked for the whole address; `me:pw` in base64 is its own login."""

    def proxied(seen: Seen) -> Wire | None:
        return Wire(body=str(completion(seen, echo(seen))).replace("'", '"').replace("None", "null").encode())

    with Loopback(other=proxied) as proxy, Loopback() as server:
        monkeypatch.setenv(variable, proxy.base_url.replace("//", "//me:pw@").removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert ask("http://host.example/v1").text == "echo: Who are you?"
        assert ask(server.base_url).error is None
    (seen,) = proxy.log
    assert seen.path == "http://host.example/v1/chat/completions"
    assert seen.headers["proxy-authorization"] == "Basic bWU6cHc="
    assert len(server.log) == 1


def test_a_proxy_that_is_not_there_is_named_without_its_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:pw@127.0.0.1:9")
    told = r"^http://host.example/v1 cannot be reached \(Connection refused at the proxy http://127\.0\.0\.1:9 of the"
    with pytest.raises(EngineError, match=told):
        ask("http://host.example/v1")


def test_a_redirect_in_a_circle_ends() -> None:
    with Loopback(other=lambda seen: Wire(307, b"", {"location": seen.path})) as server:
        assert ask(server.base_url).error == "it redirects more than 20 times (asked 1 times)"
    assert len(server.log) == 20


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_what_is_sent_after_a_redirect(status: int, method: str) -> None:
    def moved(seen: Seen) -> Wire | None:
        return Wire(status, b"", {"location": "/elsewhere"}) if seen.path.startswith("/v1") else Wire(500)

    with Loopback(other=moved) as server:
        ask(server.base_url)
    first, second = server.log
    assert (second.path, second.method, second.body) == ("/elsewhere", method, first.body if method == "POST" else b"")


def test_nobody_at_the_address_is_said_in_the_systems_words() -> None:
    with Loopback() as server:
        url = server.base_url
    with pytest.raises(EngineError, match=r"cannot be reached \(Connection refused\); check base_url"):
        ask(url)


def test_live_requests_load_no_sdk() -> None:
    """The package openai takes longer to load than some runs to answer; its Batch API needs it."""
    with Loopback() as server:
        code = (
            "import sys\nfrom factory.config.apis import OpenaiEngine\nfrom factory.engines import open_generator\n"
            "from factory.engines.base import Request\nfrom factory.models.ref import ModelRef\n"
            f"with open_generator(OpenaiEngine(base_url={server.base_url!r}), ModelRef('m')) as engine:\n"
            "    list(engine.generate([Request('r', [{'role': 'user', 'content': 'hi'}], 8)]))\n"
            "print(*sorted({'openai', 'httpx', 'httpx2', 'requests'} & sys.modules.keys()))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
    assert len(server.log) == 1
