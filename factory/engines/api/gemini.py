"""Google's Gemini API, as its own client speaks it: bodies, answers, and what its errors stand for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from factory.engines.api.wire import (
    FEWER_LOGPROBS,
    MOST_LOGPROBS,
    Dialect,
    VendorAnswer,
    first,
    likeliest,
    part,
    system_apart,
    texts,
)
from factory.engines.base import Request, bounded_count

_VERSION = "/v1beta"
_VERSIONS = re.compile(r"/v1(beta)?$")
_ROLES = {"assistant": "model"}
_FINISHES = {"STOP": "stop", "MAX_TOKENS": "length"}
_NO_REPLY = {
    "UNEXPECTED_TOOL_CALL": "the model called a tool instead of replying",
    "MALFORMED_FUNCTION_CALL": "the model called a tool instead of replying",
    "TOO_MANY_TOOL_CALLS": "the model called a tool instead of replying",
    "MALFORMED_RESPONSE": "the model's reply was malformed",
}
_NO_MONEY = re.compile(r"prepayment credits|spending cap|spend cap", re.IGNORECASE)


@dataclass(frozen=True)
class GenerateFields:
    """Which optional fields the model takes."""

    seed: bool = True
    logprobs: int = MOST_LOGPROBS
    lost: str = ""

    def body(self, request: Request, model: str, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON body of `request`; `extra` wins over what is said here, key by key in `generationConfig`."""
        system, turns = system_apart(request.messages)
        config: dict[str, Any] = {
            "temperature": request.temperature,
            "topP": request.top_p,
            "maxOutputTokens": request.max_new_tokens,
        }
        if self.seed:
            # An int32 there; ours has 63 bits.
            config["seed"] = request.seed & 0x7FFFFFFF
        if request.choices and self.logprobs:
            config |= {"responseLogprobs": True, "logprobs": self.logprobs}
        # The one field that `extra` is merged into: what it names there must not push out the length limit.
        body: dict[str, Any] = {
            "contents": [
                {"role": _ROLES.get(turn["role"], "user"), "parts": [{"text": turn["content"]}]} for turn in turns
            ],
            "generationConfig": config | dict(extra.get("generationConfig") or {}),
        }
        if system:
            body["systemInstruction"] = {"parts": [{"text": system}]}
        return body | {name: value for name, value in extra.items() if name != "generationConfig"}

    def without_refused(self, error: Mapping[str, Any], message: str) -> "GenerateFields | None":
        """The fields to try after a 400 that blames one of the optional fields, or None when it blames none."""
        if self.logprobs and re.search(r"logprobs?\b", message, re.IGNORECASE):
            return replace(self, logprobs=FEWER_LOGPROBS[self.logprobs])
        if self.seed and re.search(r"\bseed\b", message):
            return replace(self, seed=False)
        return None


def _read(payload: Mapping[str, Any]) -> VendorAnswer | None:
    candidate, blocked = first(payload.get("candidates")), part(payload, "promptFeedback").get("blockReason")
    if candidate is None and not blocked:
        return None
    reason = str((candidate or {}).get("finishReason") or "STOP")
    parts, usage = texts(part(candidate, "content").get("parts")), part(payload, "usageMetadata")
    sent = bounded_count(usage.get("promptTokenCount"))
    # A count is left out where it is 0, so that a reply that was held back names none.
    named = [usage[name] for name in ("candidatesTokenCount", "thoughtsTokenCount") if usage.get(name) is not None]
    received = [bounded_count(count) for count in named]
    return VendorAnswer(
        text="".join(str(one.get("text") or "") for one in parts if not one.get("thought")),
        finish=_FINISHES.get(reason),
        sent=sent,
        received=None if sent is None or None in received else sum(count or 0 for count in received),
        withheld=f"content_filter: the server blocked the prompt ({blocked})" if blocked else _withheld(reason),
        likely=likeliest(candidate, ("logprobsResult", "topCandidates", 0, "candidates"), "logProbability"),
    )


def _withheld(reason: str) -> str | None:
    if reason in _FINISHES:
        return None
    return _NO_REPLY.get(reason, f"content_filter: the server withheld the reply ({reason})")


def _status(status: int, error: Mapping[str, Any]) -> int:
    """Overload asks for less, as 429 does; a key that is none, or a country it is not sold in, is said with 400."""
    details = error.get("details")
    reasons = [one.get("reason") for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    if "API_KEY_INVALID" in reasons:
        return 401
    if _NO_MONEY.search(error["message"]):
        return 402
    if error.get("status") == "FAILED_PRECONDITION":
        return 403
    return 429 if status == 503 else status


def _url(address: str, model: str) -> str:
    """Below the models, unless the name itself says where, as `tunedModels/mine` does."""
    place = model if "/" in model else f"models/{model}"
    return f"{_VERSIONS.sub('', address)}{_VERSION}/{quote(place)}:generateContent"


GEMINI = Dialect(
    url=_url,
    headers=lambda _, key: {"x-goog-api-key": key} if key else {},
    fields=lambda block: GenerateFields(block.seed, MOST_LOGPROBS if block.logprobs else 0),
    read=_read,
    status=_status,
)
