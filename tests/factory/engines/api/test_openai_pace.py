"""Concurrency, waits and giving up, without a server."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from factory.config.engines import OpenaiEngine, Prices
from factory.engines.api.ledger import EngineLedger, Size
from factory.engines.api.pace import Pacer, Stopped, Ticket, backoff
from factory.engines.api.wire import Failure
from tests.fake_clock import FakeClock

SIZE = Size(10, 5)
CRASH, THROTTLED = Failure("broken", "crash"), Failure("throttled", "slow down")


def pacer(clock: FakeClock | None = None, **options: Any) -> Pacer:
    block = OpenaiEngine(**options)
    return Pacer(block, clock or FakeClock(), EngineLedger(block), "http://server")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def fill(pace: Pacer) -> list[Ticket]:
    return [await pace.enter(SIZE) for _ in range(int(pace.limit) - pace.in_flight)]


def test_a_place_more_per_answer_until_trouble_then_one_per_window() -> None:
    """8 answers: 8 -> 16. Trouble: 8. Then 8 answers of 1/8, 1/8.1.. each: a little under one more."""

    async def work() -> None:
        pace = pacer()
        for ticket in await fill(pace):
            pace.answered(ticket, 10, 5)
            pace.leave()
        assert pace.limit == 16
        tickets = await fill(pace)
        assert len(tickets) == 16
        pace.troubled(tickets[0], "a", CRASH)
        assert pace.limit == 8
        for ticket in tickets[1:9]:
            pace.answered(ticket, 10, 5)
        assert 8.9 < pace.limit < 9

    run(work())


def test_a_burst_of_trouble_halves_once_and_the_next_burst_again() -> None:
    async def work() -> None:
        pace = pacer()
        for burst in (4, 2, 1, 1):
            for ticket in await fill(pace):
                pace.troubled(ticket, f"r{ticket.number}", CRASH)
                pace.leave()
            assert pace.limit == burst

    run(work())


def test_growth_ends_at_the_ceiling() -> None:
    async def work() -> None:
        pace = pacer()
        for _ in range(4):
            for ticket in await fill(pace):
                pace.answered(ticket, 10, 5)
                pace.leave()
        assert pace.limit == 64

    run(work())


@pytest.mark.parametrize("given", [1, 3, 200])
def test_a_ceiling_that_is_given_is_where_it_starts_and_what_it_never_passes(given: int) -> None:
    async def work() -> None:
        pace = pacer(max_concurrency=given)
        for ticket in await fill(pace):
            pace.answered(ticket, 10, 5)
        assert pace.limit == given

    run(work())


def test_repeated_trouble_waits_longer_each_time_and_an_answer_forgets_it() -> None:
    clock = FakeClock()

    async def work() -> None:
        pace = pacer(clock, max_concurrency=1)
        for _ in range(4):
            pace.troubled(await pace.enter(SIZE), "a", THROTTLED)
            pace.leave()
        pace.answered(await pace.enter(SIZE), 1, 1)
        pace.leave()
        await pace.enter(SIZE)

    run(work())
    assert clock.naps == [0.5, 1, 2, 4]
    assert backoff(100) == 60


def test_patience_at_its_end_stops_the_stage_and_wakes_who_waits() -> None:
    """Failures at 0, 0.5, 1.5, 3.5, ... 63.5 and then 123.5 seconds: the last is the first after two minutes."""

    async def work() -> None:
        pace = pacer(max_concurrency=1, patience=2)
        for _ in range(9):
            ticket = await pace.enter(SIZE)
            waiting = asyncio.create_task(pace.enter(SIZE))
            await asyncio.sleep(0)
            assert pace.stopped is None
            pace.troubled(ticket, "a", THROTTLED)
            if pace.stopped is None:
                waiting.cancel()
                pace.leave()
        assert "gave no answer for 2.06 minutes (slow down)" in str(pace.stopped)
        with pytest.raises(Stopped):
            await waiting

    run(work())


def test_a_single_prompts_crashes_are_not_the_servers() -> None:
    async def work() -> None:
        pace = pacer(max_concurrency=1)
        for number in range(60):
            pace.troubled(await pace.enter(SIZE), f"r{number % 4}", CRASH)
            pace.leave()
        assert pace.stopped is None
        pace.troubled(await pace.enter(SIZE), "a fifth", CRASH)
        assert pace.stopped is not None

    run(work())


def test_stopping_ends_a_long_wait() -> None:
    class Stuck(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(1000)

    async def work() -> None:
        pace = pacer(Stuck(), max_concurrency=2)
        ticket = await pace.enter(SIZE)
        pace.troubled(ticket, "a", Failure("throttled", "later", 900.0))
        pace.leave()
        waiting = asyncio.create_task(pace.enter(SIZE))
        await asyncio.sleep(0.01)
        from factory.errors import EngineError

        pace.stop(EngineError("over"))
        pace.stop(EngineError("a second reason"))
        with pytest.raises(Stopped):
            await waiting
        assert str(pace.stopped) == "over"

    run(work())


def test_the_ledger_sets_the_longest_reply_aside_and_expects_the_mean_one() -> None:
    """At 1 a prompt token and 2 a completion token, a reply of 5: 10 + 2 x 5 = 20 at most, of 40."""
    ledger = EngineLedger(OpenaiEngine(max_cost=40.0, prices=Prices(prompt=1e6, completion=2e6)))
    assert (ledger.expect(SIZE), ledger.most(SIZE)) == (15, 20.0)
    first = ledger.reserve(SIZE)
    assert ledger.refusal(20.0) is None
    ledger.reserve(SIZE)
    assert ledger.refusal(0.1) is ledger.accounts[0]
    assert ledger.spend(SIZE, first.money, 10, 1) == 11
    assert ledger.accounts[0].spent == 12.0
    assert (ledger.expect(SIZE), ledger.most(SIZE)) == (11, 20.0)
    assert ledger.refusal(8.1)  # 12 spent, 20 set aside
    assert ledger.refusal(8.0) is None


def test_a_prompt_longer_than_estimated_makes_later_ones_dearer() -> None:
    """30 tokens where 10 were estimated: the next prompt of 10 may have 30 too."""
    ledger = EngineLedger(OpenaiEngine(prices=Prices(prompt=1e6, completion=2e6)))
    ledger.spend(SIZE, 0.0, 30, 1)
    assert ledger.most(SIZE) == 40.0


def test_what_the_server_does_not_count_is_taken_as_the_most() -> None:
    ledger = EngineLedger(OpenaiEngine(prices=Prices(prompt=1e6, completion=2e6)))
    assert ledger.spend(SIZE, ledger.reserve(SIZE).money, None, None) == 15
    assert ledger.accounts[0].spent == 20.0
