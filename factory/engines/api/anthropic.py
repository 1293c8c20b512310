"""Anthropic's Messages API, as its own client speaks it: bodies, answers, and what its errors stand for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from factory.config.apis import AnthropicEngine, Prices
from factory.engines.api.dialects import Dialect
from factory.engines.api.failures import Failure, error_of
from factory.engines.api.wire import cost, system_apart
from factory.engines.base import Completion, Request, bounded_count

_OVERLOADED = 529
_NO_LONGER = re.compile(r"deprecated|not permitted|not supported|unsupported|cannot both|not allowed", re.IGNORECASE)
_NO_MONEY = re.compile(r"credit balance|(usage|spend|spending) limit", re.IGNORECASE)
_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}


@dataclass(frozen=True)
class MessagesFields:
    """Whether the model takes sampling parameters: newer ones take neither, some only one of them."""

    temperature: bool = True
    top_p: bool = True

    @property
    def lost(self) -> str:
        """Which of them are not sent."""
        names = [name for name in ("temperature", "top_p") if not getattr(self, name)]
        return f"replies are sampled without sampling.{' and sampling.'.join(names)}" if names else ""

    def body(self, request: Request, model: str, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON body of `request`; `extra` wins over what is said here."""
        system, turns = system_apart(request.messages)
        body: dict[str, Any] = {"model": model, "max_tokens": request.max_new_tokens, "messages": turns}
        if system:
            body["system"] = system
        if self.temperature:
            body["temperature"] = request.temperature
        # 1 is its default, and models that take one of the two refuse it beside the temperature.
        if self.top_p and request.top_p < 1:
            body["top_p"] = request.top_p
        return body | dict(extra)

    def without_refused(self, error: Mapping[str, Any], message: str) -> "MessagesFields | None":
        """The fields to try after a 400 that blames one of the optional fields, or None when it blames none."""
        if not _NO_LONGER.search(message):
            return None
        if self.top_p and re.search(r"\btop_p\b", message):
            return replace(self, top_p=False)
        if self.temperature and re.search(r"\btemperature\b", message):
            return replace(self, temperature=False)
        return None


def read_message(request: Request, payload: Any, prices: Prices | None) -> Completion | Failure:
    """The completion in a response body, or the failure that a body without one stands for."""
    if not isinstance(payload, dict):
        return Failure("broken", "the answer is no JSON object", charged=True)
    blocks = payload.get("content")
    if not isinstance(blocks, list):
        said = error_of(payload)["message"] if payload.get("error") else "the answer holds no content"
        return Failure("broken", said, charged=True)
    texts = [block.get("text") for block in blocks if isinstance(block, dict) and block.get("type") == "text"]
    usage = payload.get("usage")
    sent, received = _used(usage if isinstance(usage, dict) else {})
    error = _no_reply(payload)
    return Completion(
        id=request.id,
        text=None if error else "".join(str(text or "") for text in texts),
        finish=_FINISHES.get(str(payload.get("stop_reason"))),
        prompt_tokens=sent,
        completion_tokens=received,
        cost=cost(prices, sent, received),
        error=error,
    )


def _used(usage: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens sent, those that its prompt cache took or gave included, and received, those of thinking included."""
    sent = bounded_count(usage.get("input_tokens"))
    cached = [bounded_count(usage.get(f"cache_{what}_input_tokens")) or 0 for what in ("creation", "read")]
    return None if sent is None else sent + sum(cached), bounded_count(usage.get("output_tokens"))


def _no_reply(payload: Mapping[str, Any]) -> str | None:
    reason, details = payload.get("stop_reason"), payload.get("stop_details")
    if reason == "refusal":
        category = details.get("category") if isinstance(details, dict) else None
        return f"content_filter: the server withheld the reply ({category or 'refusal'})"
    if reason in ("tool_use", "pause_turn"):
        return "the model called a tool instead of replying"
    return None


def _status(status: int, error: Mapping[str, Any]) -> int:
    """Overload asks for less, as 429 does; an account without credit says so with 400."""
    if status == _OVERLOADED or error.get("type") == "overloaded_error":
        return 429
    return 402 if status in (400, 403, 429) and _NO_MONEY.search(error["message"]) else status


def _headers(block: AnthropicEngine, key: str) -> dict[str, str]:
    return {"anthropic-version": block.version, **({"x-api-key": key} if key else {})}


ANTHROPIC = Dialect(
    url=lambda address, model: f"{address.removesuffix('/v1')}/v1/messages",
    headers=_headers,
    fields=lambda block: MessagesFields(),
    read=read_message,
    status=_status,
)
