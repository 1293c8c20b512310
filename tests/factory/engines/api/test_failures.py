"""What becomes of requests when the server throttles, breaks, refuses or is gone."""

from collections import Counter

import pytest

from factory.config.apis import OpenaiEngine
from factory.engines.api.engine import ApiGenerator
from factory.engines.base import Completion
from factory.errors import EngineError
from factory.models.ref import ModelRef
from tests import loopback
from tests.asking import ask, some
from tests.fake_clock import FakeClock
from tests.loopback import Loopback, Seen, Wire


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marked-0123456789")


def drill(clock: FakeClock) -> tuple[list[Completion], Loopback]:
    """300 prompts, the first try of 90 of which fails, each kind of fault 10 times or more."""
    kinds = [
        loopback.throttled(),
        loopback.throttled(1),
        loopback.throttled(300),
        loopback.CRASH,
        loopback.RESET,
        loopback.EMPTY,
        loopback.HALF,
        loopback.error(503, "overloaded"),
        loopback.HANG,
    ]
    faults = loopback.first_try(wire for wire in kinds * 10)
    mixed = lambda seen: faults(seen) if seen.number % 10 < 5 else None  # noqa: E731
    with Loopback(faults=mixed) as server:
        # long enough that a good answer never looks hung on a loaded machine
        return ask(server, some(300), clock=clock, timeout=2.0), server


def test_fault_drill_every_row_arrives_once() -> None:
    clock = FakeClock()
    found, server = drill(clock)
    assert sorted(done.id for done in found) == [f"r{i:03}" for i in range(300)]
    assert {done.id: done.text for done in found} == {f"r{i:03}": f"echo: number {i}" for i in range(300)}
    assert len(server.asked) == 390  # 90 first tries failed, and each needed one more
    assert max(Counter(seen.last for seen in server.asked).values()) == 2


def test_retry_after_is_honoured_at_any_length() -> None:
    clock = FakeClock()
    with Loopback(faults=loopback.first_try([loopback.throttled(3000)])) as server:
        found = ask(server, some(1), clock=clock)
    assert found[0].error is None
    assert clock.time == 3000


def test_retry_after_holds_everybody_back() -> None:
    clock = FakeClock()
    with Loopback(faults=lambda seen: loopback.throttled(100) if seen.number == 0 else None) as server:
        found = ask(server, some(30), clock=clock, max_concurrency=1)
    assert len(found) == 30
    assert clock.time == 100


def test_one_prompt_that_is_always_refused_is_one_completion_with_the_servers_message() -> None:
    def fault(seen: Seen) -> Wire | None:
        return loopback.error(400, "this prompt is not liked") if seen.last == "number 17" else None

    with Loopback(faults=fault) as server:
        found = ask(server, some(300))
    failed = [done for done in found if done.error]
    assert len(found) == 300
    assert [(done.id, done.text, done.error) for done in failed] == [("r017", None, "this prompt is not liked")]
    assert len(server.asked) == 300  # a refusal is not asked again


def test_one_prompt_that_always_crashes_the_server_is_given_up_alone() -> None:
    def fault(seen: Seen) -> Wire | None:
        return loopback.CRASH if seen.last == "number 5" else None

    with Loopback(faults=fault) as server:
        found = ask(server, some(20), clock=FakeClock(), max_retries=12)
    assert {done.id: done.error for done in found if done.error} == {"r005": "The server had an error (asked 13 times)"}
    assert len(found) == 20


def test_context_overflow_is_told_apart_and_never_mistaken_for_a_parameter() -> None:
    said = "'max_completion_tokens' is too large: 16. This model's maximum context length is 8 tokens"
    with Loopback(faults=lambda seen: loopback.error(400, said, param="max_completion_tokens")) as server:
        found = ask(server, some(30))
    assert {done.error for done in found} == {f"context_length_exceeded: {said}"}
    assert len(server.asked) == 30


def fatal(wire: Wire, before: int = 0) -> tuple[str, list[str], Loopback]:
    """The sentence an engine ends with, what it yielded before, and the server."""
    with Loopback(faults=lambda seen: wire if seen.number >= before else None) as server:
        engine = ApiGenerator(OpenaiEngine(base_url=server.base_url, max_concurrency=4), ModelRef("m-1"))
        arrived: list[str] = []
        with pytest.raises(EngineError) as caught:  # noqa: PT012 - what came before counts
            for done in engine.generate(some(40)):
                arrived.append(done.id)  # noqa: PERF401 - the loop raises
        engine.close()
    return str(caught.value), arrived, server


@pytest.mark.parametrize(
    ("wire", "sentence"),
    [
        (loopback.error(402, "Insufficient Balance"), "no credit left"),
        (loopback.error(403, "not in your country"), "does not let this key use m-1"),
        (loopback.error(405, "Method Not Allowed"), "no OpenAI-compatible endpoint"),
    ],
)
def test_what_no_request_can_survive_ends_the_stage_at_once(wire: Wire, sentence: str) -> None:
    said, arrived, server = fatal(wire)
    assert sentence in said
    assert "\n" not in said
    assert arrived == []
    assert len(server.asked) <= 4  # those in flight when the first answer came


def test_what_has_arrived_is_kept_when_the_money_runs_out() -> None:
    said, arrived, _ = fatal(loopback.no_quota(), before=10)
    assert "no credit left" in said
    assert len(arrived) == 10


def test_circuit_breaker_ends_the_stage_with_what_it_has() -> None:
    clock, arrived = FakeClock(), []
    with Loopback(faults=lambda seen: loopback.CRASH if seen.number >= 10 else None) as server:
        engine = ApiGenerator(OpenaiEngine(base_url=server.base_url, patience=2), ModelRef("m"), clock=clock)
        with pytest.raises(EngineError, match=r"gave no answer for .* minutes .*goes on from here"):  # noqa: PT012
            for done in engine.generate(some(100)):
                arrived.append(done.id)  # noqa: PERF401 - the loop raises
        engine.close()
    assert len(arrived) == 10
    assert 120 <= clock.time <= 120 + 60  # not before it had its time to come back, nor a wait later than that


@pytest.mark.parametrize(
    ("wire", "seconds"),
    [
        (Wire(429, loopback.throttled().body, {"retry-after-ms": "100"}), 5.0),
        (loopback.throttled(1), 30.0),
        (loopback.throttled(), 30.0),
        (loopback.CRASH, 300.0),
    ],
)
def test_a_server_that_comes_back_in_time_costs_nothing_however_it_says_so(
    wire: Wire, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """However many tries that takes, all rows arrive, and soon after the server is back. It is told once."""
    clock = FakeClock()
    with Loopback(faults=lambda seen: wire if clock.time < seconds and seen.number else None) as server:
        found = ask(server, some(8), clock=clock, max_retries=1)
    assert [done.error for done in found] == [None] * 8
    assert seconds <= clock.time <= 2 * seconds + 60
    told = [record for record in caplog.records if "gives no answer" in record.message]
    assert len(told) <= 1
    assert told or seconds <= 30


def test_a_server_that_has_never_answered_well_is_given_up_sooner() -> None:
    clock = FakeClock()
    with (
        Loopback(faults=lambda seen: loopback.HALF) as server,
        pytest.raises(EngineError, match="the answer is broken"),
    ):
        ask(server, some(20), clock=clock)
    assert 120 <= clock.time <= 240


def test_a_wait_longer_than_patience_is_waited_once() -> None:
    clock = FakeClock()
    with Loopback(faults=lambda seen: loopback.throttled(3000)) as server:
        with pytest.raises(EngineError, match="gave no answer for 50 minutes"):
            ask(server, some(1), clock=clock, patience=1)
        assert len(server.asked) == 2


def test_many_refusals_alike_are_the_configurations_fault() -> None:
    said = "Unsupported value: 'temperature' does not support 0.7 with this model"
    with Loopback(faults=lambda seen: loopback.error(400, said, param="temperature")) as server:
        engine = ApiGenerator(OpenaiEngine(base_url=server.base_url, max_concurrency=4), ModelRef("m"))
        with pytest.raises(EngineError, match="refused each of the first 20 requests alike: Unsupported value"):
            list(engine.generate(some(1000)))
        engine.close()
    assert len(server.asked) <= 24


def test_a_stopped_engine_may_be_asked_again() -> None:
    down = [True]
    with Loopback(faults=lambda seen: loopback.error(401, "no") if down[0] else None) as server:
        engine = ApiGenerator(OpenaiEngine(base_url=server.base_url), ModelRef("m"))
        with pytest.raises(EngineError):
            list(engine.generate(some(3)))
        down[0] = False
        assert len(list(engine.generate(some(3)))) == 3
        engine.close()
