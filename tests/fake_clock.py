"""A clock that runs only while somebody sleeps."""

import asyncio

from factory.engines.api.rate_limiter import Clock


class FakeClock(Clock):
    """Sleeping takes no time and moves the clock on; every nap is written down."""

    def __init__(self) -> None:
        self.time = 0.0
        self.naps: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.wait(seconds)
        await asyncio.sleep(0)

    def wait(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.time += seconds
