"""Concurrency, waits and giving up, without a server."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from factory.config.apis import OpenaiEngine, Prices
from factory.engines.api.failures import Failure
from factory.engines.api.rate_limiter import RateLimiter, Slot, Stopped, backoff
from factory.engines.api.spending import EngineSpending, Size
from tests.fake_clock import FakeClock

SIZE = Size(10, 5)
CRASH, THROTTLED = Failure("broken", "crash"), Failure("throttled", "slow down")


def make_limiter(clock: FakeClock | None = None, **options: Any) -> RateLimiter:
    block = OpenaiEngine(**options)
    return RateLimiter(block, clock or FakeClock(), EngineSpending(block), "http://server")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def fill(limiter: RateLimiter) -> list[Slot]:
    return [await limiter.enter(SIZE) for _ in range(int(limiter.limit) - limiter.in_flight)]


def test_a_place_more_per_answer_until_trouble_then_one_per_window() -> None:
    """8 answers: 8 -> 16. Trouble: 8. Then 8 answers of 1/8, 1/8.1.. each: a little under one more."""

    async def work() -> None:
        limiter = make_limiter()
        for slot in await fill(limiter):
            limiter.answered(slot, 10, 5)
            limiter.leave()
        assert limiter.limit == 16
        slots = await fill(limiter)
        assert len(slots) == 16
        limiter.troubled(slots[0], "a", CRASH)
        assert limiter.limit == 8
        for slot in slots[1:9]:
            limiter.answered(slot, 10, 5)
        assert 8.9 < limiter.limit < 9

    run(work())


def test_a_burst_of_trouble_halves_once_and_the_next_burst_again() -> None:
    async def work() -> None:
        limiter = make_limiter()
        for burst in (4, 2, 1, 1):
            for slot in await fill(limiter):
                limiter.troubled(slot, f"r{slot.number}", CRASH)
                limiter.leave()
            assert limiter.limit == burst

    run(work())


def test_growth_ends_at_the_ceiling() -> None:
    async def work() -> None:
        limiter = make_limiter()
        for _ in range(4):
            for slot in await fill(limiter):
                limiter.answered(slot, 10, 5)
                limiter.leave()
        assert limiter.limit == 64

    run(work())


@pytest.mark.parametrize("given", [1, 3, 200])
def test_a_ceiling_that_is_given_is_where_it_starts_and_what_it_never_passes(given: int) -> None:
    async def work() -> None:
        limiter = make_limiter(max_concurrency=given)
        for slot in await fill(limiter):
            limiter.answered(slot, 10, 5)
        assert limiter.limit == given

    run(work())


def test_repeated_trouble_waits_longer_each_time_and_an_answer_forgets_it() -> None:
    clock = FakeClock()

    async def work() -> None:
        limiter = make_limiter(clock, max_concurrency=1)
        for _ in range(4):
            limiter.troubled(await limiter.enter(SIZE), "a", THROTTLED)
            limiter.leave()
        limiter.answered(await limiter.enter(SIZE), 1, 1)
        limiter.leave()
        await limiter.enter(SIZE)

    run(work())
    assert clock.naps == [0.5, 1, 2, 4]
    assert backoff(100) == 60


def test_patience_at_its_end_stops_the_stage_and_wakes_who_waits() -> None:
    """Failures at 0, 0.5, 1.5, 3.5, ... 63.5 and then 123.5 seconds: the last is the first after two minutes."""

    async def work() -> None:
        limiter = make_limiter(max_concurrency=1, patience=2)
        for _ in range(9):
            slot = await limiter.enter(SIZE)
            waiting = asyncio.create_task(limiter.enter(SIZE))
            await asyncio.sleep(0)
            assert limiter.stopped is None
            limiter.troubled(slot, "a", THROTTLED)
            if limiter.stopped is None:
                waiting.cancel()
                limiter.leave()
        assert "gave no answer for 2.06 minutes (slow down)" in str(limiter.stopped)
        with pytest.raises(Stopped):
            await waiting

    run(work())


def test_a_single_prompts_crashes_are_not_the_servers() -> None:
    async def work() -> None:
        limiter = make_limiter(max_concurrency=1)
        for number in range(60):
            limiter.troubled(await limiter.enter(SIZE), f"r{number % 4}", CRASH)
            limiter.leave()
        assert limiter.stopped is None
        limiter.troubled(await limiter.enter(SIZE), "a fifth", CRASH)
        assert limiter.stopped is not None

    run(work())


def test_stopping_ends_a_long_wait() -> None:
    class Stuck(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(1000)

    async def work() -> None:
        limiter = make_limiter(Stuck(), max_concurrency=2)
        slot = await limiter.enter(SIZE)
        limiter.troubled(slot, "a", Failure("throttled", "later", 900.0))
        limiter.leave()
        waiting = asyncio.create_task(limiter.enter(SIZE))
        await asyncio.sleep(0.01)
        from factory.errors import EngineError

        limiter.stop(EngineError("over"))
        limiter.stop(EngineError("a second reason"))
        with pytest.raises(Stopped):
            await waiting
        assert str(limiter.stopped) == "over"

    run(work())


def test_the_longest_reply_is_set_aside_and_the_mean_one_expected() -> None:
    """At 1 a prompt token and 2 a completion token, a reply of 5: 10 + 2 x 5 = 20 at most, of 40."""
    spending = EngineSpending(OpenaiEngine(max_cost=40.0, prices=Prices(prompt=1e6, completion=2e6)))
    assert (spending.expect(SIZE), spending.most(SIZE)) == (15, 20.0)
    first = spending.reserve(SIZE)
    assert spending.refusal(20.0) is None
    spending.reserve(SIZE)
    assert spending.refusal(0.1) is spending.accounts[0]
    assert spending.spend(SIZE, first.money, 10, 1) == 11
    assert spending.accounts[0].spent == 12.0
    assert (spending.expect(SIZE), spending.most(SIZE)) == (11, 20.0)
    assert spending.refusal(8.1)  # 12 spent, 20 set aside
    assert spending.refusal(8.0) is None


def test_a_prompt_longer_than_estimated_makes_later_ones_dearer() -> None:
    """30 tokens where 10 were estimated: the next prompt of 10 may have 30 too."""
    spending = EngineSpending(OpenaiEngine(prices=Prices(prompt=1e6, completion=2e6)))
    spending.spend(SIZE, 0.0, 30, 1)
    assert spending.most(SIZE) == 40.0


def test_what_the_server_does_not_count_is_taken_as_the_most() -> None:
    spending = EngineSpending(OpenaiEngine(prices=Prices(prompt=1e6, completion=2e6)))
    assert spending.spend(SIZE, spending.reserve(SIZE).money, None, None) == 15
    assert spending.accounts[0].spent == 20.0
