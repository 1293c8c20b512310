"""Asking an API engine as a stage does."""

from factory.config.apis import OpenaiEngine
from factory.engines.api.engine import ApiGenerator
from factory.engines.base import Completion, Request
from factory.models.ref import ModelRef
from tests.fake_clock import FakeClock
from tests.loopback import Loopback


def ask(
    server: Loopback, requests: list[Request], *, clock: FakeClock | None = None, model: str = "m", **options: object
) -> list[Completion]:
    """What the engine answers, in the order of landing."""
    engine = ApiGenerator(OpenaiEngine(base_url=server.base_url, **options), ModelRef(model), clock=clock)
    try:
        return list(engine.generate(requests))
    finally:
        engine.close()


def some(count: int, **fields: object) -> list[Request]:
    return [Request(f"r{i:03}", [{"role": "user", "content": f"number {i}"}], 16, **fields) for i in range(count)]
