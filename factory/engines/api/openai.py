"""OpenAI's chat completions, as its own client and the many compatible servers speak it: bodies and answers."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from factory.config.apis import OpenaiEngine
from factory.engines.api.failures import too_long
from factory.engines.api.wire import FEWER_LOGPROBS, MOST_LOGPROBS, Dialect, VendorAnswer, first, likeliest, part, texts
from factory.engines.base import Request, bounded_count

_TOKEN_PARAMETERS = ("max_completion_tokens", "max_tokens")
_FINISHES = {"stop": "stop", "eos": "stop", "end_turn": "stop", "stop_sequence": "stop", "length": "length"}
_WITHHELD = {
    "content_filter": "content_filter: the server's content filter withheld the reply",
    "tool_calls": "the model called a tool instead of replying",
    "function_call": "the model called a tool instead of replying",
}
_NOT_TAKEN = re.compile(
    r"unsupported|not supported|unrecognized|unrecognised|unknown|unexpected|not permitted|not allowed"
    r"|extra_forbidden|extra (inputs|fields)|invalid|not available|must be|less than|does not",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RequestFields:
    """Which optional fields the server takes. `without_refused` gives those to try when one of them was refused."""

    token_parameter: str = "max_completion_tokens"
    seed: bool = True
    logprobs: int = MOST_LOGPROBS
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
            # Some servers hold it in 32 bits; ours has 63.
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
        # A prompt that is too long may be blamed on this parameter too; the other one would not help it.
        if not self.swapped and _blames((self.token_parameter,), blamed, message) and not too_long(error, message):
            other = _TOKEN_PARAMETERS[1 - _TOKEN_PARAMETERS.index(self.token_parameter)]
            return replace(self, token_parameter=other, swapped=True)
        return None


def _blames(names: tuple[str, ...], blamed: str, message: str) -> bool:
    if blamed:
        return blamed in names
    # Both: a message may quote the prompt, in which such a word can stand.
    return any(re.search(rf"\b{name}\b", message) for name in names) and bool(_NOT_TAKEN.search(message))


def request_fields(block: OpenaiEngine) -> RequestFields:
    """The fields that the configuration asks to begin with."""
    logprobs = MOST_LOGPROBS if block.logprobs else 0
    return RequestFields(block.token_parameter, block.seed, logprobs, block.structured_outputs)


def _read(payload: Mapping[str, Any]) -> VendorAnswer | None:
    choice = first(payload.get("choices"))
    message = choice.get("message") if choice else None
    if choice is None or not isinstance(message, dict):
        return None
    content, reason, usage = message.get("content"), str(choice.get("finish_reason")), part(payload, "usage")
    # Some servers send the reply in parts, some refusals in a field apart.
    if isinstance(content, list):
        content = "".join(str(one.get("text") or "") for one in texts(content))
    return VendorAnswer(
        text=str(content or message.get("refusal") or ""),
        finish=_FINISHES.get(reason),
        sent=bounded_count(usage.get("prompt_tokens")),
        received=bounded_count(usage.get("completion_tokens")),
        withheld=_WITHHELD.get(reason),
        likely=likeliest(choice, ("logprobs", "content", 0, "top_logprobs"), "logprob"),
    )


def _headers(_: OpenaiEngine, key: str) -> dict[str, str]:
    """As the vendor's own client sends them, an organisation and a project of the environment included."""
    accounts = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
    named = {header: os.environ.get(name, "") for header, name in accounts.items()}
    # Servers of one's own ask for no key, but some want the header.
    return {"Authorization": f"Bearer {key or 'none'}", **{name: value for name, value in named.items() if value}}


OPENAI = Dialect(
    url=lambda address, model: f"{address}/chat/completions", headers=_headers, fields=request_fields, read=_read
)
