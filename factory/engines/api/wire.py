"""What goes over the wire to an OpenAI-compatible server and what comes back: bodies, answers, failures by kind."""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple

from factory.config.engines import OpenaiEngine, Prices
from factory.engines.base import Completion, Request, bounded_count, bounded_logprob
from factory.errors import short
from factory.identity import Messages

_TOKEN_PARAMETERS = ("max_completion_tokens", "max_tokens")
_FEWER_LOGPROBS = {20: 5, 5: 0}
"""How many alternatives to ask for next, where a number of them was refused; 0 asks for no log-probabilities."""

Kind = Literal["throttled", "unreachable", "broken", "refused", "fatal"]


class Failure(NamedTuple):
    """Why a request has no answer.

    throttled: the server asked for less; unreachable: nobody listens; broken: it may work on another try;
    refused: this request will never work; fatal: none will.
    """

    kind: Kind
    message: str
    retry_after: float | None = None
    """Seconds the server asked to wait."""
    error: Mapping[str, Any] = {}
    """The error object of the body, where there is one."""
    charged: bool = False
    """Whether the server may have worked for it, and charge for that: it answered amiss, or not to the end."""


@dataclass(frozen=True)
class RequestFields:
    """Which optional fields the server takes. `without_refused` gives those to try when one of them was refused."""

    token_parameter: str = "max_completion_tokens"
    seed: bool = True
    logprobs: int = 20
    choice: bool = False
    swapped: bool = False
    """The token parameter was exchanged once; it is not exchanged back."""

    def body(self, request: Request, model: str, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON body of `request`; `extra` wins over what is said here."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": turn["role"], "content": turn["content"]} for turn in request.messages],
            "temperature": request.temperature,
            "top_p": request.top_p,
            self.token_parameter: request.max_new_tokens,
        }
        if self.seed:
            body["seed"] = request.seed & 0x7FFFFFFF
        if request.choices and self.logprobs:
            body |= {"logprobs": True, "top_logprobs": self.logprobs}
        if request.choices and self.choice:
            body["structured_outputs"] = {"choice": list(request.choices)}
        return body | dict(extra)

    def without_refused(self, error: Mapping[str, Any], message: str) -> "RequestFields | None":
        """The fields to try after a 400 that blames one of the optional fields, or None when it blames none."""
        blamed = str(error.get("param") or "")
        if self.logprobs and _blames(("top_logprobs", "logprobs"), blamed, message):
            return replace(self, logprobs=_FEWER_LOGPROBS[self.logprobs])
        if self.choice and _blames(("structured_outputs",), blamed, message):
            return replace(self, choice=False)
        if self.seed and _blames(("seed",), blamed, message):
            return replace(self, seed=False)
        if not self.swapped and _blames((self.token_parameter,), blamed, message) and not too_long(error, message):
            other = _TOKEN_PARAMETERS[1 - _TOKEN_PARAMETERS.index(self.token_parameter)]
            return replace(self, token_parameter=other, swapped=True)
        return None


def request_fields(block: OpenaiEngine) -> RequestFields:
    """The fields that the configuration asks to begin with."""
    return RequestFields(block.token_parameter, block.seed, 20 if block.logprobs else 0, block.structured_outputs)


_NOT_TAKEN = re.compile(
    r"unsupported|not supported|unrecognized|unrecognised|unknown|unexpected|not permitted|not allowed"
    r"|extra_forbidden|extra (inputs|fields)|invalid|not available|must be|less than|does not",
    re.IGNORECASE,
)


def _blames(names: tuple[str, ...], blamed: str, message: str) -> bool:
    if blamed:
        return blamed in names
    return any(re.search(rf"\b{name}\b", message) for name in names) and bool(_NOT_TAKEN.search(message))


_TOO_LONG = re.compile(
    r"context[ _](length|window|size)|max_model_len|too many (input )?tokens|prompt is too long|reduce the length"
    r"|too large",
    re.IGNORECASE,
)


def too_long(error: Mapping[str, Any], message: str) -> bool:
    """Whether the server says that prompt and reply do not fit its context."""
    return error.get("code") == "context_length_exceeded" or bool(_TOO_LONG.search(message))


_MODERATED = re.compile("moderat|flagged|content policy", re.IGNORECASE)
_NO_MONEY = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}
)
_LINE_CHARS = 500


def error_of(body: Any) -> dict[str, Any]:
    """The `error` object of a response body in any of the shapes seen, or an empty one."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(inner, dict):
        message = inner.get("message") or inner.get("detail") or inner.get("error") or ""
        return {**inner, "message": short_line(message)}
    return {"message": short_line(inner)} if inner else {"message": ""}


def short_line(message: object) -> str:
    """`message` on one line, of a length that may stand in a table and on a terminal."""
    return short(str(message), _LINE_CHARS)


def judge_status(
    status: int, body: Any, headers: Mapping[str, str], server: str, model: str, key: str = "OPENAI_API_KEY"
) -> Failure:
    """The failure that an error status stands for; `server` is its address as errors name it, `key` its variable."""
    error = error_of(body)
    said = error["message"] or f"status {status}"
    if _NO_MONEY & {str(error.get("code")), str(error.get("type"))} or status == 402:
        return Failure("fatal", f"{server} says that the account has no credit left ({said}); add some and run again")
    if status == 401:
        return Failure("fatal", f"{server} does not accept the key in {key} ({said})")
    if status == 404:
        return Failure("fatal", f"{server} knows no model {model} ({said}); check the model's name and base_url")
    if status == 405:
        return Failure("fatal", f"{server} is no OpenAI-compatible endpoint ({said}); base_url mostly ends in /v1")
    if status == 403 and not _MODERATED.search(said):
        return Failure("fatal", f"{server} does not let this key use {model} ({said})")
    if status == 429:
        return Failure("throttled", said, retry_after(headers))
    if status in (408, 409, 425) or status >= 500 or status < 400:
        return Failure("broken", said, retry_after(headers))
    prefix = "context_length_exceeded: " if too_long(error, said) else ""
    return Failure("refused", prefix + said, error=error)


_SHORTEST_WAIT, _LONGEST_WAIT = 0.05, 86_400.0


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After asks to wait, from its three forms (milliseconds, seconds, date), in bounds."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            seconds = _until(value)
        if math.isfinite(seconds) and seconds > 0:
            return min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)
    return None


def _until(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return math.nan


_FINISHES = {"stop": "stop", "eos": "stop", "end_turn": "stop", "stop_sequence": "stop", "length": "length"}


def read_answer(request: Request, payload: Any, prices: Prices | None) -> Completion | Failure:
    """The completion in a response body, or the failure that a body without one stands for."""
    if not isinstance(payload, dict):
        return Failure("broken", "the answer is no JSON object", charged=True)
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        said = error_of(payload["error"])["message"] if payload.get("error") else "the answer holds no choice"
        return Failure("broken", said, charged=True)
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        return Failure("broken", "the answer holds no message", charged=True)
    usage = payload.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    sent, received = bounded_count(usage.get("prompt_tokens")), bounded_count(usage.get("completion_tokens"))
    reason = choice.get("finish_reason")
    error = _no_reply(reason)
    return Completion(
        id=request.id,
        text=None if error else _text(message),
        finish=_FINISHES.get(str(reason)),
        prompt_tokens=sent,
        completion_tokens=received,
        cost=cost(prices, sent, received),
        choice_logprobs=_choice_logprobs(request.choices, choice),
        error=error,
    )


def _no_reply(reason: object) -> str | None:
    if reason == "content_filter":
        return "content_filter: the server's content filter withheld the reply"
    if reason in ("tool_calls", "function_call"):
        return "the model called a tool instead of replying"
    return None


def _text(message: Mapping[str, Any]) -> str:
    """The reply; empty where the model said nothing. Some servers send it in parts, some refusals in a field apart."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return str(content or message.get("refusal") or "")


def cost(prices: Prices | None, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
    """Money for these tokens, or None where no price is configured or a count is missing."""
    if not (prices and prices.money) or prompt_tokens is None or completion_tokens is None:
        return None
    return (prompt_tokens * prices.prompt + completion_tokens * prices.completion) / 1e6


def _choice_logprobs(choices: tuple[str, ...], choice: Mapping[str, Any]) -> dict[str, float] | None:
    """Log-probability of each identifier as the first token, its forms with and without blanks added up."""
    try:
        alternatives = choice["logprobs"]["content"][0]["top_logprobs"]
        seen = [(str(entry["token"]).strip(), bounded_logprob(entry["logprob"])) for entry in alternatives]
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return None
    found: dict[str, float] = {}
    for name in choices:
        mass = math.fsum(math.exp(logp) for token, logp in seen if token == name and logp is not None)
        if mass > 0:
            found[name] = min(math.log(mass), 0.0)
    return found or None


def estimate_tokens(messages: Messages) -> int:
    """About how many tokens a conversation has: a token per four characters, and four per turn for its frame."""
    return sum(4 + math.ceil(len(turn["content"]) / 4) for turn in messages) + 2


def fold_system(messages: Messages) -> list[dict[str, str]]:
    """The conversation with its leading system message put into the first user turn."""
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
    if len(turns) > 1 and turns[0]["role"] == "system" and turns[1]["role"] == "user":
        return [{"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}, *turns[2:]]
    return turns
