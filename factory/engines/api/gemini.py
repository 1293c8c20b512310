"""Google's Gemini API, as its own client speaks it: bodies, answers, and what its errors stand for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from factory.config.apis import ApiEngine, GeminiEngine, Prices
from factory.engines.api.dialects import Dialect
from factory.engines.api.failures import Failure, error_of
from factory.engines.api.wire import FEWER_LOGPROBS, choice_logprobs, cost, system_apart
from factory.engines.base import Completion, Request, bounded_count

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
    logprobs: int = 20
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
            config["seed"] = request.seed & 0x7FFFFFFF
        if request.choices and self.logprobs:
            config |= {"responseLogprobs": True, "logprobs": self.logprobs}
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


def read_candidate(request: Request, payload: Any, prices: Prices | None) -> Completion | Failure:
    """The completion in a response body, or the failure that a body without one stands for."""
    if not isinstance(payload, dict):
        return Failure("broken", "the answer is no JSON object", charged=True)
    candidates, blocked = payload.get("candidates"), _blocked(payload)
    found = candidates[0] if isinstance(candidates, list) and candidates else None
    if not isinstance(found, dict) and not blocked:
        said = error_of(payload)["message"] if payload.get("error") else "the answer holds no candidate"
        return Failure("broken", said, charged=True)
    candidate = found if isinstance(found, dict) else {}
    usage = payload.get("usageMetadata")
    sent, received = _used(usage if isinstance(usage, dict) else {})
    reason = str(candidate.get("finishReason") or "STOP")
    error = blocked or _no_reply(reason)
    return Completion(
        id=request.id,
        text=None if error else _text(candidate),
        finish=_FINISHES.get(reason),
        prompt_tokens=sent,
        completion_tokens=received,
        cost=cost(prices, sent, received),
        choice_logprobs=choice_logprobs(request.choices, _likely(candidate)),
        error=error,
    )


def _blocked(payload: Mapping[str, Any]) -> str | None:
    """What is said of a prompt that was not let through to the model."""
    feedback = payload.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    return f"content_filter: the server blocked the prompt ({reason})" if reason else None


def _no_reply(reason: str) -> str | None:
    if reason in _FINISHES:
        return None
    return _NO_REPLY.get(reason, f"content_filter: the server withheld the reply ({reason})")


def _text(candidate: Mapping[str, Any]) -> str:
    """The reply without the model's thoughts; empty where it said nothing."""
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    said = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return "".join(str(part.get("text") or "") for part in said if not part.get("thought"))


def _used(usage: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens sent, and received, those of thoughts included; none are named where none were received."""
    sent = bounded_count(usage.get("promptTokenCount"))
    received = [usage.get(f"{what}TokenCount") for what in ("candidates", "thoughts")]
    counts = [bounded_count(count) for count in received if count is not None]
    return sent, None if sent is None or None in counts else sum(count or 0 for count in counts)


def _likely(candidate: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """The likeliest first tokens, each with its log-probability."""
    try:
        first = candidate["logprobsResult"]["topCandidates"][0]["candidates"]
        return [(entry["token"], entry["logProbability"]) for entry in first]
    except (KeyError, IndexError, TypeError):
        return []


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


def _headers(_: ApiEngine, key: str) -> dict[str, str]:
    return {"x-goog-api-key": key} if key else {}


def _url(address: str, model: str) -> str:
    """Below the models, unless the name itself says where, as `tunedModels/mine` does."""
    place = model if "/" in model else f"models/{model}"
    return f"{_VERSIONS.sub('', address)}{_VERSION}/{quote(place)}:generateContent"


def _fields(block: GeminiEngine) -> GenerateFields:
    return GenerateFields(block.seed, 20 if block.logprobs else 0)


GEMINI = Dialect(url=_url, headers=_headers, fields=_fields, read=read_candidate, status=_status)
