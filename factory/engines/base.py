"""What a stage may ask of an engine: text for a prompt (Generator), log-probabilities of a reply (Scorer)."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, NamedTuple, Protocol

from factory.identity import Messages, digest, replace_surrogates

MOST_TOKENS = 2**24
"""No prompt and no reply has more tokens; a higher count is missing."""
MOST_MONEY = 1e9
"""No answer costs more, in any currency."""
IMPOSSIBLE = -1e4
"""Stands for a log-probability of minus infinity, which no JSON file holds: its exponential is 0 all the same."""
_POSITIVE_SLACK = 1e-3
"""Log-probabilities of likely tokens are above zero by rounding, not by more than this."""


def bounded_count(value: object) -> int | None:
    """`value` where it is a number of tokens, None where it cannot be one."""
    # JSON's true is a bool, which to Python is the integer 1.
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    number = int(value)
    return number if 0 <= number <= MOST_TOKENS else None


def bounded_money(value: object) -> float | None:
    """`value` where an answer can have cost it, None where not."""
    number = bounded_number(value)
    return number if number is not None and 0 <= number <= MOST_MONEY else None


def bounded_logprob(value: object) -> float | None:
    """`value` where it is a log-probability, None where it cannot be one; IMPOSSIBLE is the lowest."""
    if isinstance(value, float) and value < IMPOSSIBLE:
        return IMPOSSIBLE
    number = bounded_number(value)
    return None if number is None or number > _POSITIVE_SLACK else min(number, 0.0)


def bounded_number(value: object) -> float | None:
    """`value` where it is a finite number, None otherwise."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class Request:
    """One generation. `id` is unique within a stage; `seed` makes it repeatable where the engine can be."""

    id: str
    messages: Messages
    max_new_tokens: int
    temperature: float = 0.7
    top_p: float = 0.8
    seed: int = 0
    choices: tuple[str, ...] = ()
    """Identifiers whose log-probabilities as the reply's first token are wanted, as in judging."""
    tags: dict[str, str] = field(default_factory=dict, compare=False)
    """What it is for (stage, prompt_id, view, pair_id, order): for logs and scripts; never sent, never hashed."""

    def key(self, identity: str) -> str:
        """Hash of all that decides the answer (engine, messages, sampling, seed, choices) and of the id."""
        return digest([self.id, self.content_key(identity)])

    def content_key(self, identity: str) -> str:
        """The key without the id: equal for two requests that must get the same answer. The cache's key."""
        sampling = [self.max_new_tokens, self.temperature, self.top_p, self.seed]
        turns = [[turn["role"], turn["content"]] for turn in self.messages]
        return digest([identity, turns, sampling, list(self.choices)])


@dataclass(frozen=True, slots=True)
class Completion:
    """What came of a request. A failed one has `error` set and `text` None; it never raises for the others.

    Whatever an engine says, it holds nothing that a journal, table or sum cannot: a number out of bounds is missing.
    """

    id: str
    text: str | None
    finish: str | None = None
    """stop: the model ended its turn; length: cut at max_new_tokens."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    choice_logprobs: dict[str, float] | None = None
    """Natural-log probability of each of `Request.choices` as the first token; absent ones are missing."""
    error: str | None = None

    def __post_init__(self) -> None:
        """Put everything in bounds; lone surrogates become U+FFFD."""
        likely = {name: bounded_logprob(logp) for name, logp in (self.choice_logprobs or {}).items()}
        bounded = {
            "text": None if self.text is None else replace_surrogates(self.text),
            "prompt_tokens": bounded_count(self.prompt_tokens),
            "completion_tokens": bounded_count(self.completion_tokens),
            "cost": bounded_money(self.cost),
            "choice_logprobs": {name: logp for name, logp in likely.items() if logp is not None} or None,
        }
        # The one way to set a field of a frozen dataclass.
        for name, value in bounded.items():
            object.__setattr__(self, name, value)


_TEXTS = ("id", "text", "finish", "error")


def recorded_completion(record: Mapping[str, Any]) -> Completion | None:
    """The Completion that was written down as `record`, or None where that cannot be one."""
    known: dict[str, Any] = {field.name: record.get(field.name) for field in fields(Completion)}
    likely = known["choice_logprobs"]
    texts_fit = all(known[name] is None or isinstance(known[name], str) for name in _TEXTS)
    says_nothing = known["id"] is None or known["text"] is known["error"] is None
    if not texts_fit or says_nothing or not (likely is None or isinstance(likely, dict)):
        return None
    return Completion(**known)


class Reply(NamedTuple):
    """A reply to be scored; `finished` says whether its end-of-turn token belongs to it."""

    text: str
    finished: bool


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """One prompt (system message included) with the replies to score under it."""

    id: str
    messages: Messages
    replies: tuple[Reply, ...]

    def key(self, identity: str) -> str:
        """Hash of everything that decides the scores, and the id."""
        turns = [[turn["role"], turn["content"]] for turn in self.messages]
        return digest([self.id, identity, turns, [list(reply) for reply in self.replies]])


@dataclass(frozen=True, slots=True)
class Score:
    """Per reply of a ScoreRequest, in its order: mean log-probability per token (eq. 4) and token count."""

    id: str
    logps: tuple[float | None, ...]
    tokens: tuple[int | None, ...]
    error: str | None = None

    def __post_init__(self) -> None:
        """Put everything in bounds."""
        object.__setattr__(self, "logps", tuple(bounded_logprob(logp) for logp in self.logps))
        object.__setattr__(self, "tokens", tuple(bounded_count(count) for count in self.tokens))


def recorded_score(record: Mapping[str, Any]) -> Score | None:
    """The Score that was written down as `record`, or None where that cannot be one."""
    name, logps, tokens, error = (record.get(name) for name in ("id", "logps", "tokens", "error"))
    if not (isinstance(logps, list) and isinstance(tokens, list) and len(logps) == len(tokens)):
        return None
    if not isinstance(name, str) or not (error is None or isinstance(error, str)):
        return None
    return Score(name, tuple(logps), tuple(tokens), error)


Generate = Callable[[Sequence[Request]], Iterator[Completion]]


class Generator(Protocol):
    """Turns requests into completions, in any order, each as soon as it is there."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield exactly one completion per request. Raises EngineError only when no request can be answered."""


class Scorer(Protocol):
    """Measures how likely a model finds given replies."""

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        """Yield exactly one Score per request, in any order."""


class TokenCounter(Protocol):
    """Knows how long a prompt is for a model, and how long it may be."""

    @property
    def context_length(self) -> int | None:
        """Most tokens of prompt and reply together, or None where only the server knows."""

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        """Prompt length of each conversation in tokens, chat template included; an estimate for remote models."""


class Engine(Generator, TokenCounter, Protocol):
    """What a member of `factory.engines.ENGINES` is; one that is a Scorer too can be trained from."""

    @property
    def identity(self) -> str:
        """Names model and endpoint, so that answers of two engines are never taken for one another."""

    def close(self) -> None:
        """Let go of memory and processes."""
