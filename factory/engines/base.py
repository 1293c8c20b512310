"""What a stage may ask of an engine: text for a prompt (Generator), log-probabilities of a reply (Scorer)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from factory.identity import Messages, digest, mend


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
    """What came of a request. A failed one has `error` set and `text` None; it never raises for the others."""

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
        """No engine's text holds what no table can: lone surrogates become U+FFFD."""
        if self.text is not None:
            object.__setattr__(self, "text", mend(self.text))


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


class Generator(Protocol):
    """Turns requests into completions, in any order, each as soon as it is there."""

    @property
    def identity(self) -> str:
        """Names model and endpoint, so that answers of two engines are never taken for one another."""

    @property
    def context_length(self) -> int | None:
        """Most tokens of prompt and reply together, or None where only the server knows."""

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        """Prompt length of each conversation in tokens, chat template included; an estimate for remote models."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield exactly one completion per request. Raises EngineError only when no request can be answered."""


class Scorer(Protocol):
    """Measures how likely a model finds given replies."""

    @property
    def identity(self) -> str:
        """Names the model."""

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        """Yield exactly one Score per request, in any order."""
