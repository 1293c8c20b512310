"""What goes over the wire to an OpenAI-compatible server and what comes back: bodies and answers."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from factory.config.apis import OpenaiEngine, Prices
from factory.engines.api.failures import Failure, error_of, too_long
from factory.engines.base import Completion, Request, bounded_count, bounded_logprob
from factory.identity import Messages

_TOKEN_PARAMETERS = ("max_completion_tokens", "max_tokens")
FEWER_LOGPROBS = {20: 5, 5: 0}
"""How many alternatives to ask for next, where a number of them was refused; 0 asks for no log-probabilities."""


@dataclass(frozen=True)
class RequestFields:
    """Which optional fields the server takes. `without_refused` gives those to try when one of them was refused."""

    token_parameter: str = "max_completion_tokens"
    seed: bool = True
    logprobs: int = 20
    choice: bool = False
    swapped: bool = False
    """The token parameter was exchanged once; it is not exchanged back."""
    lost: str = ""
    """What is left out is not missed."""

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
            return replace(self, logprobs=FEWER_LOGPROBS[self.logprobs])
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
        choice_logprobs=choice_logprobs(request.choices, _likely(choice)),
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


def _likely(choice: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """The likeliest first tokens, each with its log-probability."""
    try:
        alternatives = choice["logprobs"]["content"][0]["top_logprobs"]
        return [(entry["token"], entry["logprob"]) for entry in alternatives]
    except (KeyError, IndexError, TypeError):
        return []


def choice_logprobs(choices: tuple[str, ...], likely: Sequence[tuple[Any, Any]]) -> dict[str, float] | None:
    """Log-probability of each identifier as the first token, its forms with and without blanks added up."""
    try:
        seen = [(str(token).strip(), bounded_logprob(logp)) for token, logp in likely]
    except RecursionError:
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


def system_apart(messages: Messages) -> tuple[str, list[dict[str, str]]]:
    """What the system turns say, and the other turns, for APIs that take the two apart."""
    system = [turn["content"] for turn in messages if turn["role"] == "system"]
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages if turn["role"] != "system"]
    return "\n\n".join(system), turns
