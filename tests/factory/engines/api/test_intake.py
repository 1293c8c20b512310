"""What a server sends, whatever it is: bounded, without secrets, no traceback, and the end of nothing but itself."""

import gzip
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from factory.config.apis import ApiBlock, OpenaiEngine, Prices
from factory.engines.api.batch_client import BatchClient
from factory.engines.api.endpoint import Endpoint
from factory.engines.api.engine import ApiGenerator
from factory.engines.api.intake import UnreadableError, lines, parsed
from factory.engines.base import Completion, Request, recorded_completion
from factory.errors import ConfigError, EngineError
from factory.models.ref import ModelRef
from factory.schema import JUDGMENTS
from tests import loopback
from tests.fake_clock import FakeClock
from tests.loopback import Loopback, Seen, Spoken, Wire
from tests.loopback_batch import BatchDesk

KEY, PASSWORD = "sk-marked-0123456789", "marked-password"
FUZZ = settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
REQUESTS = [Request(f"r{n}", [{"role": "user", "content": f"number {n}"}], 16, choices=("m", "M")) for n in range(2)]
GOOD = {
    "id": "c",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "m"},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "m", "top_logprobs": [{"token": "m", "logprob": -0.5}]}]},
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}
BAD = {"error": {"message": "no", "type": "t", "param": "seed", "code": "c"}}
MESSAGE = {
    "type": "message",
    "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "m"}],
    "stop_reason": "end_turn",
    "stop_details": {"type": "refusal", "category": "bio"},
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 1, "output_tokens": 1},
}
CANDIDATE = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "m"}, {"text": "hm", "thought": True}]},
            "finishReason": "STOP",
            "logprobsResult": {"topCandidates": [{"candidates": [{"token": "m", "logProbability": -0.5}]}]},
        }
    ],
    "promptFeedback": {"blockReason": None},
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "thoughtsTokenCount": 1},
}
DELAYED = {"error": {"code": 429, "status": "S", "message": "no", "details": [{"reason": "r", "retryDelay": "3s"}]}}
GOODS = {"openai": [GOOD], "anthropic": [MESSAGE], "gemini": [CANDIDATE, DELAYED]}
BLOCKS = {one.model_fields["kind"].default: one for one in get_args(ApiBlock)}
WORDS = [*GOOD, *GOOD["choices"][0], *GOOD["usage"], *BAD["error"], "content", "error", "detail", "token", "logprob"]
WORDS += [*MESSAGE, *CANDIDATE, *CANDIDATE["candidates"][0], *DELAYED["error"]]
WORDS += ["custom_id", "response", "status_code", "body", "status", "errors", "data", "metadata", "output_file_id"]

NUMBERS = st.sampled_from([0, -1, 10**23, 10**400, 2**63, 1e308, -1e308, float("nan"), float("inf"), 0.5, True])
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from([KEY, "\ud800", "a\n\x1b[31m\u202e", "x" * 2000, "completed"]))
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, (*path, name))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A JSON value with another one at a place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def harmed(draw: st.DrawFn, *wholes: Any) -> bytes:
    """JSON like one of `wholes`, with any value at any place of it; now and then cut off or not UTF-8."""
    whole = draw(st.sampled_from(wholes))
    content = json.dumps(replaced(whole, draw(st.sampled_from(list(places(whole)))), draw(VALUES))).encode()
    return draw(st.sampled_from([content, content, content, content[: len(content) // 2], b"\xff" + content]))


WORST = [
    b"[" * 100_000,
    b'{"choices":' * 100_000,
    json.dumps(GOOD).replace('"prompt_tokens": 3', f'"prompt_tokens": {"9" * 23}').encode(),
    json.dumps(GOOD).replace('"prompt_tokens": 3', f'"prompt_tokens": {"9" * 400}').encode(),
    json.dumps(GOOD).replace("-0.5", "9" * 400).encode(),
    json.dumps(GOOD).replace("-0.5", "NaN").encode(),
    json.dumps(GOOD).replace("-0.5", "1000").encode(),
    json.dumps(GOOD).replace('"m"}', json.dumps(KEY) + "}").encode(),
]
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms"]),
    st.sampled_from(["1", "1e400", "-1", "nan", "9" * 500, "Wed, 99 Zzz 2015", "soon"]),
    max_size=1,
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@contextmanager
def asked(
    server: Loopback, kind: str = "openai", **options: Any
) -> Iterator[Callable[[], list[Completion] | EngineError]]:
    """Asks the server, as often as it is called: what came, or the sentence that ended it."""
    base_url = server.base_url.replace("//", f"//someone:{PASSWORD}@")
    if kind == "openai":
        options = {"batch_poll_seconds": 20_000, **options}
    block = BLOCKS[kind](base_url=base_url, key_env="OPENAI_API_KEY", max_retries=1, patience=1, **options)
    engine = ApiGenerator(block, ModelRef("m"), clock=FakeClock())

    def ask() -> list[Completion] | EngineError:
        try:
            return list(engine.generate(REQUESTS))
        except EngineError as error:
            return error

    try:
        yield ask
    finally:
        engine.close()


def check(found: list[Completion] | EngineError) -> None:
    """One sentence, or one completion per request that journal, tables and sums can take; no secret in either."""
    for secret in (KEY, PASSWORD):
        assert secret not in str(found)
    if isinstance(found, EngineError):
        assert len(str(found).splitlines()) == 1
        return
    assert sorted(one.id for one in found) == [request.id for request in REQUESTS]
    for one in found:
        assert (one.text is None) == (one.error is not None)
        assert one.error is None or len(one.error) < 1000
        line = json.dumps(asdict(one), allow_nan=False)
        assert recorded_completion(json.loads(line)) == one
        for name in ("prompt_tokens", "completion_tokens", "cost"):
            pl.Series([getattr(one, name)], dtype=JUDGMENTS.columns[name].dtype)
        (one.text or "").encode()


@pytest.mark.parametrize("kind", BLOCKS)
def test_whatever_a_server_answers(kind: str) -> None:
    wire = Wire()
    bodies = st.one_of(harmed(*GOODS[kind], BAD), st.sampled_from(WORST))

    @FUZZ
    @given(body=bodies, status=st.sampled_from([200, 200, 200, 400, 401, 403, 429, 500, 304]), headers=HEADERS)
    @example(body=WORST[0], status=500, headers={})
    @example(body=b'{"error": {"message": "m", "details": [{"reason": []}]}}', status=400, headers={})
    @example(body=gzip.compress(json.dumps(GOOD).encode())[:20], status=200, headers={"content-encoding": "gzip"})
    def fuzz(body: bytes, status: int, headers: dict[str, str]) -> None:
        nonlocal wire
        wire = Wire(status, body, headers)
        check(ask())

    with Loopback(faults=lambda seen: wire) as server, asked(server, kind) as ask:
        fuzz()


@pytest.mark.parametrize("body", WORST[2:], ids=range(len(WORST) - 2))
def test_an_answer_with_one_impossible_value_is_an_answer_without_it(body: bytes) -> None:
    with Loopback(faults=lambda seen: Wire(body=body)) as server, asked(server, prices=Prices(prompt=1.0)) as ask:
        found = ask()
    check(found)
    assert isinstance(found, list)
    assert {(one.text in ("m", "***"), one.error, one.completion_tokens) for one in found} == {(True, None, 1)}


def spoken(seen: Seen) -> Spoken:
    return Spoken("m", {"m": 0.5})


RETRIEVED = {
    "id": "b",
    "status": "completed",
    "output_file_id": "f",
    "errors": {"data": [{"code": "c", "message": KEY}]},
}
LISTED = {"data": [{"id": "b", "metadata": {"sso_factory": "x"}}], "has_more": True}
LINE = {"custom_id": "r", "response": {"status_code": 200, "body": GOOD}, "error": None}


def results(wire: Wire | None, seen: Seen) -> list[dict[str, Any]] | None:
    """The lines of a batch's results, where they are what a server sends."""
    of_file = wire is not None and seen.method == "GET" and seen.path.startswith("/v1/files/")
    return [json.loads(line) for line in wire.body.splitlines()] if wire and of_file else None


def as_wire(rows: list[dict[str, Any]]) -> Wire:
    return Wire(body=b"\n".join(json.dumps(row).encode() for row in rows))


CALLS = ["POST /v1/files", "POST /v1/batches", "GET /v1/batches/", "GET /v1/files/"]


def test_whatever_the_batch_api_answers() -> None:
    """A batch that works comes after one that did not."""
    desk, harm = BatchDesk(spoken, polls=1), [("", Wire())]

    def handle(seen: Seen) -> Wire | None:
        harmed = harm and f"{seen.method} {seen.path}".startswith(harm[-1][0])
        return harm.pop()[1] if harmed else desk.handle(seen)

    @FUZZ
    @given(
        where=st.sampled_from(CALLS),
        body=st.one_of(harmed(RETRIEVED, LISTED, LINE, BAD), st.sampled_from(WORST)),
        status=st.sampled_from([200, 200, 400, 500]),
    )
    @example("GET /v1/files/", json.dumps({**LINE, "custom_id": ["a"]}).encode(), 200)
    @example("GET /v1/files/", json.dumps({**LINE, "response": {"status_code": "oops"}}).encode(), 200)
    @example("GET /v1/batches/", json.dumps({**RETRIEVED, "errors": [], "output_file_id": {}}).encode(), 200)
    def fuzz(where: str, body: bytes, status: int) -> None:
        harm[:] = [(where, Wire(status, body))] * 3
        check(ask())
        harm.clear()
        check(ask())

    with Loopback(other=handle) as server, asked(server, batch=True) as ask:
        fuzz()


def test_a_batch_line_of_any_types_costs_its_request_alone() -> None:
    """The line of the first request is harmed each time it comes; the second request is answered all the same."""
    desk, harm = BatchDesk(lambda seen: Spoken(seen.last), polls=1), dict[str, Any]()

    def handle(seen: Seen) -> Wire | None:
        wire = desk.handle(seen)
        rows = results(wire, seen)
        return as_wire([{**row, **harm} if "number 0" in json.dumps(row) else row for row in rows]) if rows else wire

    @FUZZ
    @given(st.dictionaries(st.sampled_from(["custom_id", "response", "error"]), VALUES, min_size=1, max_size=2))
    def fuzz(given: dict[str, Any]) -> None:
        harm.clear()
        harm.update(given)
        found = ask()
        check(found)
        assert isinstance(found, list)
        assert {one.id: one.text for one in found}["r1"] == "number 1"

    with Loopback(other=handle) as server, asked(server, batch=True) as ask:
        fuzz()


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

    with Loopback(spoken, other=moved) as server:
        engine = ApiGenerator(OpenaiEngine(base_url=server.base_url.removesuffix("/v1")), ModelRef("m"))
        assert [one.text for one in engine.generate(REQUESTS)] == ["m", "m"]
        engine.close()


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("zipped", [False, True])
def test_an_answer_beyond_the_cap_fails_alone(status: int, zipped: bool) -> None:
    """A megabyte allowed, three sent, as they are or 3 kB that unpack to them."""
    body = json.dumps(replaced(GOOD, ("choices", 0, "message", "content"), "x" * 3_000_000)).encode()
    wire = Wire(status, gzip.compress(body) if zipped else body, {"content-encoding": "gzip"} if zipped else {})
    only_first = lambda seen: wire if seen.last == "number 0" else None  # noqa: E731
    with Loopback(spoken, only_first) as server, asked(server, max_answer_mb=1.0) as ask:
        found = ask()
    check(found)
    assert isinstance(found, list)
    failed, well = sorted(found, key=lambda one: one.id)
    assert well.text == "m"
    assert failed.error is not None
    assert ("the answer is larger than 1 MB (engine.max_answer_mb)" in failed.error) == (status == 200)


def test_an_exception_of_the_client_brings_no_secret() -> None:
    endpoint = Endpoint(OpenaiEngine(base_url=f"http://someone:{PASSWORD}@host.example"), ModelRef("m"))
    assert endpoint.failure(RuntimeError(f"illegal status line {KEY} {PASSWORD}")).message.count("***") == 2


def test_lines_of_a_file_come_whole_and_bounded() -> None:
    assert list(lines([b"ab", b"c\nd", b"ef", b"\n\ngh\n", b"i"], 3)) == [b"abc", b"def", b"", b"gh", b"i"]
    assert list(lines([b"ab", b"cd\ne", b"f\n", b"long line", b" that goes on"], 3)) == [b"ef"]


def test_what_is_no_json_says_so() -> None:
    for content, said in ((b" ", "empty"), (b"{", "broken JSON"), (b"\xff", "broken JSON"), (WORST[0], "too deeply")):
        with pytest.raises(UnreadableError, match=said):
            parsed(content, str)
    deep = b"[" * 40 + b"]" * 40
    with pytest.raises(UnreadableError, match="too deeply"):
        parsed(deep, str)
    assert parsed(b"[" * 32 + b"]" * 32, str)


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


def test_after_trouble_a_batch_is_looked_for_before_it_is_made_again() -> None:
    """The server makes the batch, and its answer gets lost."""
    desk = BatchDesk(spoken, polls=1)

    def handle(seen: Seen) -> Wire | None:
        wire = desk.handle(seen)
        return loopback.CRASH if seen.method == "POST" and seen.path == "/v1/batches" else wire

    with Loopback(other=handle) as server, asked(server, batch=True) as ask:
        check(ask())
    assert len(desk.batches) == 1


def test_a_batch_is_found_by_its_mark_on_a_later_page() -> None:
    def handle(seen: Seen) -> Wire:
        second = "after=b99" in seen.path
        rows = [
            {"id": f"b{n}", "metadata": {"sso_factory": f"mark {n}"}} for n in range(100 * second, 100 + 100 * second)
        ]
        return Wire(body=json.dumps({"data": rows, "has_more": not second}).encode())

    with Loopback(other=handle) as server:
        block = OpenaiEngine(base_url=server.base_url)
        client = BatchClient(block, Endpoint(block, ModelRef("m")), FakeClock())
        assert client.find("mark 150") == "b150"
        assert client.find("mark 300") is None
        client.close()
