"""The openai engine against a server on this machine: answers, faults, limits, money."""

import time

import pytest

from factory.config.apis import OpenaiEngine, Prices
from factory.engines.api.engine import ApiGenerator
from factory.engines.base import Completion, Request
from factory.errors import ConfigError, EngineError
from factory.models.ref import ModelRef
from tests import loopback
from tests.asking import ask, some
from tests.fake_clock import FakeClock
from tests.loopback import Loopback, Seen, Spoken, Wire

KEY = "sk-marked-0123456789"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_an_answer_and_what_was_sent() -> None:
    request = Request(
        "a",
        [{"role": "system", "content": "be kind"}, {"role": "user", "content": "two words"}],
        max_new_tokens=7,
        temperature=0.5,
        top_p=0.9,
        seed=3,
    )
    with Loopback() as server:
        block = {"prices": Prices(prompt=2.0, completion=10.0), "extra_body": {"top_k": 4}}
        found = ask(server, [request], model="some-model", **block)
    # 4 words sent at 2.0 a million and 3 received ("echo: two words") at 10.0 a million
    assert found == [Completion("a", "echo: two words", "stop", 4, 3, (4 * 2.0 + 3 * 10.0) / 1e6)]
    assert server.log[0].body == {
        "model": "some-model",
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "two words"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "max_completion_tokens": 7,
        "top_k": 4,
    }
    assert server.log[0].headers["authorization"] == f"Bearer {KEY}"


def test_without_prices_cost_is_unknown_and_not_nothing() -> None:
    with Loopback() as server:
        assert ask(server, some(1))[0].cost is None


def test_model_and_system_message_are_sent_as_configured() -> None:
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]
    with Loopback() as server:
        engine = ApiGenerator(OpenaiEngine(base_url=server.base_url, model="served"), ModelRef("m", fold_system=True))
        list(engine.generate([Request("a", messages, 5)]))
        engine.close()
    assert server.log[0].body["model"] == "served"
    assert server.log[0].body["messages"] == [{"role": "user", "content": "be kind\n\nhello"}]


def test_address_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.delenv("OPENAI_API_KEY")
        engine = ApiGenerator(OpenaiEngine(), ModelRef("m"))
        assert engine.identity == f"openai {server.base_url} m"
        assert [found.text for found in engine.generate(some(1))] == ["echo: number 0"]
        engine.close()
    assert server.log[0].headers["authorization"] == "Bearer none"


@pytest.mark.parametrize("prefix", ["/v1", "/v1beta/openai"])
def test_another_provider_has_its_own_path_and_key(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIR_KEY", "key-of-theirs")
    with Loopback(faults=lambda seen: loopback.error(401, "no") if seen.number else None) as server:
        block = OpenaiEngine(base_url=server.base_url.removesuffix("/v1") + f"{prefix}/", key_env="THEIR_KEY")
        engine = ApiGenerator(block, ModelRef("m"))
        list(engine.generate(some(1)))
        with pytest.raises(EngineError, match="does not accept the key in THEIR_KEY"):
            list(engine.generate([Request("b", [{"role": "user", "content": "again"}], 5)]))
        engine.close()
    first = server.log[0]
    assert (first.path, first.headers["authorization"]) == (f"{prefix}/chat/completions", "Bearer key-of-theirs")


def test_openai_itself_needs_a_key_but_only_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    engine = ApiGenerator(OpenaiEngine(), ModelRef("gpt-4o"))
    assert engine.identity == "openai https://api.openai.com/v1 gpt-4o"
    assert engine.count_tokens([[{"role": "user", "content": "12345678"}]]) == [2 + 4 + 2]
    with pytest.raises(EngineError, match="set OPENAI_API_KEY"):
        list(engine.generate(some(1)))
    engine.close()


def test_identity_tells_endpoints_and_extra_fields_apart_and_hides_passwords() -> None:
    def identity(**options: object) -> str:
        return ApiGenerator(OpenaiEngine(**options), ModelRef("m")).identity

    one = identity(base_url="http://joe:secret@one/v1/")
    assert one == "openai http://one/v1 m"
    assert len({one, identity(base_url="http://two/v1"), identity(base_url="http://one/v1", extra_body={"a": 1})}) == 3


def test_a_wrong_address_and_max_cost_without_prices_are_config_errors() -> None:
    with pytest.raises(ConfigError, match="'localhost:8000/v1' is no address"):
        ApiGenerator(OpenaiEngine(base_url="localhost:8000/v1"), ModelRef("m"))
    for end in ("?key=secret", "#secret"):
        with pytest.raises(ConfigError, match=r"'http://one/v1' goes on with \? or #") as caught:
            ApiGenerator(OpenaiEngine(base_url=f"http://one/v1{end}"), ModelRef("m"))
        assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="max_cost needs prices"):
        ApiGenerator(OpenaiEngine(max_cost=1.0), ModelRef("m"))


@pytest.mark.parametrize(
    "said", ["Unsupported parameter: use {other} instead", "[{{'loc': '{name}'}}] extra_forbidden {name}"]
)
@pytest.mark.parametrize("name", ["max_completion_tokens", "max_tokens"])
def test_the_other_token_parameter_is_tried_once_per_engine(name: str, said: str) -> None:
    other = "max_tokens" if name == "max_completion_tokens" else "max_completion_tokens"
    message = said.format(name=name, other=other)
    with Loopback(faults=loopback.refusing(**{name: message})) as server:
        found = ask(server, some(50), max_concurrency=1, token_parameter=name)
    assert all(done.text for done in found)
    assert [other in seen.body for seen in server.asked] == [False] + [True] * 50


def test_a_server_that_takes_neither_token_parameter_is_not_asked_for_ever() -> None:
    refuse = loopback.refusing(max_tokens="unsupported", max_completion_tokens="unsupported")
    with Loopback(faults=refuse) as server:
        assert [done.error for done in ask(server, some(1))] == ["unsupported"]
    assert len(server.asked) == 2


def test_seeds_are_left_out_once_refused() -> None:
    with Loopback(faults=loopback.refusing(seed="Unrecognized request argument supplied: seed")) as server:
        found = ask(server, some(30))
    assert all(done.text for done in found)
    assert "seed" not in server.asked[-1].body
    with Loopback() as server:
        ask(server, some(1), seed=False)
    assert "seed" not in server.asked[0].body


def spoken(seen: Seen) -> Spoken:
    return Spoken("M", {"M": 0.5, " M": 0.25, "m": 0.125, "The": 0.125})


def test_identifier_log_probabilities_add_up_over_their_forms() -> None:
    """p(M) = 0.5 + 0.25 over "M" and " M"; p(m) = 0.125."""
    with Loopback(spoken) as server:
        found = ask(server, some(1, choices=("m", "M")))[0]
        plain = ask(server, some(1))[0]
    assert found.choice_logprobs == pytest.approx({"M": -0.2876820724517809, "m": -2.0794415416798357})
    assert server.asked[0].body["top_logprobs"] == 20
    assert plain.choice_logprobs is None
    assert "logprobs" not in server.asked[1].body


def test_log_probabilities_fall_back_to_fewer_and_then_to_none() -> None:
    def at_most_five(seen: Seen) -> Wire | None:
        too_many = seen.body.get("top_logprobs", 0) > 5
        return loopback.error(400, "top_logprobs must be less than or equal to 5") if too_many else None

    with Loopback(spoken, at_most_five) as server:
        assert ask(server, some(1, choices=("m", "M")))[0].choice_logprobs
    assert [seen.body["top_logprobs"] for seen in server.asked] == [20, 5]
    with Loopback(spoken, loopback.refusing(logprobs="logprobs are not supported by this model")) as server:
        found = ask(server, some(9, choices=("m", "M")))
    assert {(done.text, done.choice_logprobs, done.error) for done in found} == {("M", None, None)}
    with Loopback(spoken, logprobs=False) as server:  # a server that ignores the wish
        assert ask(server, some(1, choices=("m", "M")))[0].choice_logprobs is None


@pytest.mark.parametrize(
    ("said", "text", "finish", "error"),
    [
        (Spoken("", finish="stop"), "", "stop", None),
        (Spoken(None, finish="length"), "", "length", None),
        (Spoken("half", finish="length"), "half", "length", None),
        (Spoken("x", finish=None), "x", None, None),
        (Spoken(None, finish="content_filter"), None, None, "content_filter"),
        (Spoken(None, finish="tool_calls"), None, None, "called a tool"),
    ],
)
def test_an_empty_reply_is_one_and_a_withheld_one_is_an_error(
    said: Spoken, text: str | None, finish: str | None, error: str | None
) -> None:
    with Loopback(lambda seen: said) as server:
        found = ask(server, some(1))[0]
    assert (found.text, found.finish) == (text, finish)
    assert (found.error is None) if error is None else (found.error is not None and error in found.error)


def test_an_error_inside_a_200_is_a_failure() -> None:
    wire = Wire(body=b'{"error": {"message": "upstream is tired", "code": 502}}')
    with Loopback(faults=lambda seen: wire) as server:
        found = ask(server, some(1), clock=FakeClock(), max_retries=2)
    assert found[0].error == "upstream is tired (asked 3 times)"


def test_a_lone_surrogate_fails_its_request_alone() -> None:
    bad = Request("bad", [{"role": "user", "content": "\ud800"}], 5)
    with Loopback() as server:
        found = {done.id: done for done in ask(server, [*some(2), bad])}
    assert found["r000"].error is None
    assert found["r001"].error is None
    assert found["bad"].error == "the prompt holds characters that cannot be sent (lone surrogates)"


def test_requests_in_flight_are_as_many_as_the_ceiling_allows() -> None:
    """The server takes far longer to answer than a busy machine takes to send: in flight is what the limit allows."""
    with Loopback(latency=0.3) as server:
        ask(server, some(100), max_concurrency=20)
    assert 12 <= server.most_in_flight <= 20


def test_max_cost_stops_before_it_is_passed() -> None:
    """A prompt of 2 words costs 2 and is taken to cost 8: a request may go while 12 or less is spent, so 7 go."""
    arrived = []
    with Loopback() as server:
        block = OpenaiEngine(base_url=server.base_url, max_cost=20.0, prices=Prices(prompt=1e6))
        engine = ApiGenerator(block, ModelRef("m"))
        with pytest.raises(EngineError, match=r"max_cost is reached: .* of 20 is spent"):  # noqa: PT012
            for done in engine.generate(some(40)):
                arrived.append(done.cost)  # noqa: PERF401 - the loop raises
        with pytest.raises(EngineError, match="max_cost is reached"):
            list(engine.generate(some(1)))
        engine.close()
    assert arrived == [2.0] * 7
    assert len(server.asked) == 7


def test_a_reader_who_stops_early_leaves_nothing_running() -> None:
    with Loopback(latency=0.02) as server:
        engine = ApiGenerator(OpenaiEngine(base_url=server.base_url, max_concurrency=4), ModelRef("m"))
        stream = engine.generate(some(100))
        next(stream)
        stream.close()
        asked = len(server.asked)
        time.sleep(0.1)
        assert len(server.asked) == asked
        assert len(list(engine.generate(some(20)))) == 20
        engine.close()


def test_no_more_answers_are_unread_than_places_in_flight() -> None:
    with Loopback() as server:
        engine = ApiGenerator(OpenaiEngine(base_url=server.base_url, max_concurrency=3), ModelRef("m"))
        stream = engine.generate(some(30))
        next(stream)
        time.sleep(0.2)
        assert len(server.asked) <= 3
        assert len(list(stream)) == 29
        engine.close()


def test_ceilings_of_requests_and_tokens_hold() -> None:
    """The 61st request at 60 a minute goes after 60 s; the 20th of 5 tokens at 60 a minute after 19 x 5 s."""
    clock = FakeClock()
    with Loopback() as server:
        ask(server, some(61), clock=clock, requests_per_minute=60)
    assert clock.time == pytest.approx(60)
    clock = FakeClock()
    with Loopback(lambda seen: Spoken("a b c")) as server:
        ask(server, some(20), clock=clock, tokens_per_minute=60, max_concurrency=1)
    assert clock.time == pytest.approx(95)
