"""What each vendor's API speaks, and what all have in common: an answer, what it comes to, a conversation's length."""

import math
from collections.abc import Callable, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any, NamedTuple, Protocol, Self

from factory.config.apis import ApiEngine, Prices
from factory.engines.api.failures import LINE_CHARS, Failure, error_of
from factory.engines.base import Completion, Request, bounded_logprob
from factory.errors import short
from factory.identity import Messages

MOST_LOGPROBS = 20
"""Likeliest first tokens that a judge is asked for: the most that OpenAI gives."""
FEWER_LOGPROBS = {MOST_LOGPROBS: 5, 5: 0}
"""How many to ask for next, where a number of them was refused; 0 asks for no log-probabilities."""


class VendorAnswer(NamedTuple):
    """What a response body says."""

    text: str
    """Empty where the model said nothing."""
    finish: str | None
    """As a Completion has it."""
    sent: int | None
    received: int | None
    """Tokens, those of thinking included."""
    withheld: str | None = None
    """Why there is no reply."""
    likely: Sequence[tuple[Any, Any]] = ()
    """The likeliest first tokens, each with its log-probability."""


ReadAnswer = Callable[[Mapping[str, Any]], VendorAnswer | None]


def completion(read: ReadAnswer, request: Request, payload: Any, prices: Prices | None) -> Completion | Failure:
    """The completion that `read` finds in a response body, or the failure that a body without one stands for."""
    answer = read(payload) if isinstance(payload, dict) else None
    if answer is None:
        # A server in front of the vendor's may say with status 200 that it failed.
        failed = isinstance(payload, dict) and payload.get("error")
        said = error_of(payload)["message"] if failed else "the answer holds no reply"
        return Failure("broken", said, charged=True)
    return Completion(
        id=request.id,
        text=None if answer.withheld else answer.text,
        finish=answer.finish,
        prompt_tokens=answer.sent,
        completion_tokens=answer.received,
        cost=cost(prices, answer.sent, answer.received),
        choice_logprobs=_choice_logprobs(request.choices, answer.likely),
        error=answer.withheld and short(answer.withheld, LINE_CHARS),
    )


def part(value: Any, name: str) -> Mapping[str, Any]:
    """The object that an object holds under `name`; an empty one where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def first(value: Any) -> Mapping[str, Any] | None:
    """The object that a list begins with."""
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def texts(value: Any) -> list[Mapping[str, Any]]:
    """The parts that a message comes in."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def likeliest(value: Any, path: Sequence[str | int], logprob: str) -> list[tuple[Any, Any]]:
    """Tokens and log-probabilities of the list at `path`; empty where there is none."""
    try:
        for step in path:
            value = value[step]
        return [(entry["token"], entry[logprob]) for entry in value]
    except (KeyError, IndexError, TypeError):
        return []


def _choice_logprobs(choices: tuple[str, ...], likely: Sequence[tuple[Any, Any]]) -> dict[str, float] | None:
    """Log-probability of each identifier as the first token, its forms with and without blanks added up."""
    seen = [(str(token).strip(), bounded_logprob(logp)) for token, logp in likely]
    found: dict[str, float] = {}
    for name in choices:
        mass = math.fsum(math.exp(logp) for token, logp in seen if token == name and logp is not None)
        if mass > 0:
            found[name] = min(math.log(mass), 0.0)
    return found or None


def cost(prices: Prices | None, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
    """Money for these tokens, or None where no price is configured or a count is missing."""
    if not (prices and prices.money) or prompt_tokens is None or completion_tokens is None:
        return None
    return (prompt_tokens * prices.prompt + completion_tokens * prices.completion) / 1e6


def estimate_tokens(messages: Messages) -> int:
    """About how many tokens a conversation has: a token per four characters, and four per turn for its frame."""
    return sum(4 + math.ceil(len(turn["content"]) / 4) for turn in messages) + 2


def system_apart(messages: Messages) -> tuple[str, list[dict[str, str]]]:
    """What the system turns say, and the other turns, for APIs that take the two apart."""
    system = [turn["content"] for turn in messages if turn["role"] == "system"]
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages if turn["role"] != "system"]
    return "\n\n".join(system), turns


DIALECTS: Mapping[str, str] = {
    "openai": "factory.engines.api.openai:OPENAI",
    "anthropic": "factory.engines.api.anthropic:ANTHROPIC",
    "gemini": "factory.engines.api.gemini:GEMINI",
}
"""Where the Dialect of each kind of ApiEngine is."""


class BodyFields(Protocol):
    """Which optional fields the server takes."""

    @property
    def lost(self) -> str:
        """What its user should know of a field that is not sent any more; empty where it changes no answer."""

    def body(self, request: Request, model: str, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON body of `request`; `extra` wins over what is said here."""

    def without_refused(self, error: Mapping[str, Any], message: str) -> Self | None:
        """The fields to try after a 400 that blames one of the optional fields, or None when it blames none."""


class Dialect(NamedTuple):
    """One vendor's way to say what all of them are asked."""

    url: Callable[[str, str], str]
    """Where a request goes, of the address and the model's name."""
    headers: Callable[[Any, str], dict[str, str]]
    """What goes with it, of the engine's block and the key, which is empty where a server needs none."""
    fields: Callable[[Any], BodyFields]
    """The fields that the engine's block asks to begin with."""
    read: ReadAnswer
    """What a response body says; None where that is no answer."""
    status: Callable[[int, Mapping[str, Any]], int] = lambda status, error: status
    """The status by which OpenAI would have said it, of the status and the error object that came."""


def dialect_of(block: ApiEngine) -> Dialect:
    """What the servers of this kind of engine speak."""
    found: Dialect = resolve_name(DIALECTS[block.kind])
    return found
