"""Anthropic's Messages API, as its own client speaks it: bodies, answers, and what its errors stand for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from factory.config.apis import AnthropicEngine
from factory.engines.api.wire import Dialect, VendorAnswer, part, system_apart, texts
from factory.engines.base import Request, bounded_count

_OVERLOADED = 529
_NO_LONGER = re.compile(r"deprecated|not permitted|not supported|unsupported|cannot both|not allowed", re.IGNORECASE)
_NO_MONEY = re.compile(r"credit balance|(usage|spend|spending) limit", re.IGNORECASE)
_TOOLS = "the model called a tool instead of replying"
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
        # It knows no role system; max_tokens has no default.
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


def _read(payload: Mapping[str, Any]) -> VendorAnswer | None:
    blocks, reason, usage = payload.get("content"), str(payload.get("stop_reason")), part(payload, "usage")
    if not isinstance(blocks, list):
        return None
    withheld = _TOOLS if reason in ("tool_use", "pause_turn") else None
    if reason == "refusal":
        category = part(payload, "stop_details").get("category") or reason
        withheld = f"content_filter: the server withheld the reply ({category})"
    sent = bounded_count(usage.get("input_tokens"))
    # Its count leaves out what its prompt cache took in or gave back.
    cached = [bounded_count(usage.get(f"cache_{what}_input_tokens")) or 0 for what in ("creation", "read")]
    return VendorAnswer(
        text="".join(str(block.get("text") or "") for block in texts(blocks) if block.get("type") == "text"),
        finish=_FINISHES.get(reason),
        sent=None if sent is None else sent + sum(cached),
        received=bounded_count(usage.get("output_tokens")),
        withheld=withheld,
    )


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
    read=_read,
    status=_status,
)
