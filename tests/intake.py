"""An API engine that takes in whatever a server sends, and what may come of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, get_args

import polars as pl

from factory.config.apis import ApiBlock
from factory.engines.api.engine import ApiGenerator
from factory.engines.base import Completion, Request, recorded_completion
from factory.errors import EngineError
from factory.models.ref import ModelRef
from factory.schema import JUDGMENTS
from tests.fake_clock import FakeClock
from tests.loopback import Loopback, Seen, Wire

KEY, PASSWORD = "sk-marked-0123456789", "marked-password"
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
BLOCKS = {one.model_fields["kind"].default: one for one in get_args(ApiBlock)}
RETRIEVED = {
    "id": "b",
    "status": "completed",
    "output_file_id": "f",
    "errors": {"data": [{"code": "c", "message": KEY}]},
}
CALLS = ["POST /v1/files", "POST /v1/batches", "GET /v1/batches/", "GET /v1/files/"]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A JSON value with another one at a place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


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


def results(wire: Wire | None, seen: Seen) -> list[dict[str, Any]] | None:
    """The lines of a batch's results, where they are what a server sends."""
    of_file = wire is not None and seen.method == "GET" and seen.path.startswith("/v1/files/")
    return [json.loads(line) for line in wire.body.splitlines()] if wire and of_file else None


def as_wire(rows: list[dict[str, Any]]) -> Wire:
    return Wire(body=b"\n".join(json.dumps(row).encode() for row in rows))
