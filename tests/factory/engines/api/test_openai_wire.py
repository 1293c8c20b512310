"""Reading headers, errors and answers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from factory.config.apis import OpenaiEngine, Prices
from factory.engines.api.failures import AskedServer, Failure, error_of, judge_status, retry_after
from factory.engines.api.openai import OPENAI, RequestFields, request_fields
from factory.engines.api.wire import completion, cost, estimate_tokens
from factory.engines.base import Request
from principles.views import folded

REQUEST = Request("a", [{"role": "user", "content": "x"}], 5, choices=("m", "M"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        # The server's own clock, whatever this machine's says.
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:27:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "today"}, None),
    ],
)
def test_retry_after_is_read_where_it_is_a_time_to_come(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    assert retry_after({"retry-after": later}) == pytest.approx(600, abs=5)
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}}, "throttled"),
        (429, {"error": {"message": "x", "type": "insufficient_quota"}}, "fatal"),
        (400, {"error": {"message": "x"}}, "refused"),
        (422, {"detail": [{"loc": ["body"], "msg": "x"}]}, "refused"),
        (413, "<html>too much</html>", "refused"),
        (403, {"error": {"message": "Your input was flagged by moderation"}}, "refused"),
        (403, {"error": "forbidden"}, "fatal"),
        (404, None, "fatal"),
        (408, None, "broken"),
        (500, "", "broken"),
        (529, {"type": "error", "error": {"message": "Overloaded"}}, "broken"),
    ],
)
def test_status_and_body_say_whether_to_wait_to_retry_or_to_stop(status: int, body: object, kind: str) -> None:
    assert judge_status(status, error_of(body), {}, AskedServer("http://here", "m")).kind == kind


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "two\nlines"}}, "two lines"),
        ({"object": "error", "message": "as vLLM writes it"}, "as vLLM writes it"),
        ({"detail": "as FastAPI writes it"}, "as FastAPI writes it"),
        ({"error": "text alone"}, "text alone"),
        ("<html>", "<html>"),
        (None, ""),
        ("x" * 900, "x" * 499 + "…"),
    ],
)
def test_the_message_is_found_in_every_shape_of_an_error(body: object, message: str) -> None:
    assert error_of(body)["message"] == message


@pytest.mark.parametrize(
    "payload",
    [None, [], "text", {}, {"choices": []}, {"choices": [None]}, {"choices": [{}]}, {"choices": [{"message": "x"}]}],
)
def test_bodies_without_an_answer_are_broken(payload: object) -> None:
    found = completion(OPENAI.read, REQUEST, payload, Prices())
    assert isinstance(found, Failure)
    assert found.kind == "broken"


def test_content_in_parts_refusals_and_missing_usage_are_read() -> None:
    parts = {
        "choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}, "finish_reason": "eos"}]
    }
    found = completion(OPENAI.read, REQUEST, parts, Prices(prompt=1.0))
    assert not isinstance(found, Failure)
    assert (found.text, found.finish, found.prompt_tokens, found.completion_tokens, found.cost) == (
        "ab",
        "stop",
        None,
        None,
        None,
    )
    refusal = {"choices": [{"message": {"content": None, "refusal": "I will not"}}], "usage": None}
    found = completion(OPENAI.read, REQUEST, refusal, Prices())
    assert not isinstance(found, Failure)
    assert found.text == "I will not"


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": []}, {"content": None}, {"content": [{"top_logprobs": []}]}]
)
def test_log_probabilities_that_are_not_there_are_missing(logprobs: object) -> None:
    payload = {"choices": [{"message": {"content": "M"}, "logprobs": logprobs}]}
    found = completion(OPENAI.read, REQUEST, payload, Prices())
    assert not isinstance(found, Failure)
    assert found.choice_logprobs is None


def test_an_identifier_that_was_not_among_the_likeliest_is_missing() -> None:
    top = [{"token": "m", "logprob": -0.5}, {"token": "The", "logprob": -1.0}]
    payload = {"choices": [{"message": {"content": "m"}, "logprobs": {"content": [{"top_logprobs": top}]}}]}
    found = completion(OPENAI.read, REQUEST, payload, Prices())
    assert not isinstance(found, Failure)
    assert found.choice_logprobs == pytest.approx({"m": -0.5})


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input tokens",
        "max_tokens=4000 cannot be greater than max_model_len=2048. Please request fewer output tokens.",
        "prompt is too long: 9000 tokens",
    ],
)
def test_context_overflow_is_known_in_several_servers_words(said: str) -> None:
    failure = judge_status(400, {"message": said, "param": "max_tokens"}, {}, AskedServer("http://here", "m"))
    assert failure.message == f"context_length_exceeded: {said}"
    assert RequestFields("max_tokens").without_refused(failure.error, failure.message) is None


def test_the_field_that_the_server_names_is_dropped_and_no_other() -> None:
    full = RequestFields()
    assert full.without_refused({"param": "seed"}, "no logprobs, no seed: unsupported") == RequestFields(seed=False)
    assert full.without_refused({"param": "temperature"}, "seed unsupported") is None
    assert full.without_refused({}, "the prompt mentions a seed") is None
    assert full.without_refused({}, "unknown field seed") == RequestFields(seed=False)
    assert full.without_refused({"param": "max_tokens"}, "Unsupported") is None  # not the one that was sent
    assert RequestFields(logprobs=0).without_refused({"param": "logprobs"}, "x") is None


def test_a_judge_may_be_held_to_its_identifiers() -> None:
    held = request_fields(OpenaiEngine(structured_outputs=True))
    assert held.body(REQUEST, "x", {})["structured_outputs"] == {"choice": ["m", "M"]}
    assert "structured_outputs" not in held.body(replace(REQUEST, choices=()), "x", {})
    assert "structured_outputs" not in request_fields(OpenaiEngine()).body(REQUEST, "x", {})
    refused = held.without_refused({}, "structured_outputs: Extra inputs are not permitted")
    assert refused is not None
    assert "structured_outputs" not in refused.body(REQUEST, "x", {})


def test_cost_is_by_the_million_and_null_where_count_or_price_is_missing() -> None:
    """1,000 at 2.5 and 100 at 10 a million: 0.0025 + 0.001."""
    assert cost(Prices(prompt=2.5, completion=10), 1000, 100) == pytest.approx(0.0035)
    assert cost(Prices(prompt=2.5), None, 100) is None
    assert cost(Prices(), 1000, 100) is None


def test_tokens_are_estimated_by_letters_and_a_system_turn_goes_into_the_user_s() -> None:
    """5 characters are 2 tokens, 8 are 2; 4 per turn and 2 in all: 2 + 4 + 2 + 4 + 2."""
    turns = [{"role": "system", "content": "12345"}, {"role": "user", "content": "12345678"}]
    assert estimate_tokens(turns) == 14
    assert folded(turns) == [{"role": "user", "content": "12345\n\n12345678"}]
    assert folded(turns[1:]) == turns[1:]
