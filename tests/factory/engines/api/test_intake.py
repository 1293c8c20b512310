"""What a server sends, whatever it is: bounded, no traceback, and the end of nothing but itself."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from factory.config.apis import Prices
from factory.engines.api.intake import UnreadableError, lines, parsed
from tests.intake import (
    BLOCKS,
    CALLS,
    GOOD,
    KEY,
    RETRIEVED,
    as_wire,
    asked,
    check,
    replaced,
    results,
)
from tests.loopback import Loopback, Seen, Spoken, Wire
from tests.loopback_batch import BatchDesk

FUZZ = settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
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


@pytest.mark.parametrize("kind", BLOCKS)
def test_any_answer_of_a_server_is_completions_or_one_sentence(kind: str) -> None:
    wire = Wire()
    bodies = st.one_of(harmed(*GOODS[kind], BAD), st.sampled_from(WORST))

    @FUZZ
    @given(body=bodies, status=st.sampled_from([200, 200, 200, 400, 401, 403, 429, 500, 304]), headers=HEADERS)
    @example(body=WORST[0], status=500, headers={})
    @example(body=json.dumps({"promptFeedback": {"blockReason": "x" * 2000}}).encode(), status=200, headers={})
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


LISTED = {"data": [{"id": "b", "metadata": {"sso_factory": "x"}}], "has_more": True}
LINE = {"custom_id": "r", "response": {"status_code": 200, "body": GOOD}, "error": None}


def test_any_answer_of_the_batch_api_is_completions_or_one_sentence() -> None:
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


def test_lines_of_a_file_come_whole_and_bounded() -> None:
    assert list(lines([b"ab", b"c\nd", b"ef", b"\n\ngh\n", b"i"], 3)) == [b"abc", b"def", b"", b"gh", b"i"]
    assert list(lines([b"ab", b"cd\ne", b"f\n", b"long line", b" that goes on"], 3)) == [b"ef"]


def test_json_that_is_empty_broken_or_too_deep_is_refused_with_the_cause() -> None:
    broken = ((b"{", "broken JSON"), (b"\xff", "broken JSON"), (b'data: {"id": 1}\n\n', "streams"))
    for content, said in ((b" ", "empty"), *broken, (WORST[0], "too deeply")):
        with pytest.raises(UnreadableError, match=said):
            parsed(content, str)
    deep = b"[" * 40 + b"]" * 40
    with pytest.raises(UnreadableError, match="too deeply"):
        parsed(deep, str)
    assert parsed(b"[" * 32 + b"]" * 32, str)
