"""An engine for tests that answers with a function, in the reverse of the order asked, and remembers what was asked."""

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from factory.engines.base import Completion, Request, Score, ScoreRequest
from factory.identity import prompt_id
from factory.schema import MESSAGES


class Answering:
    """Generator and scorer: `answer(request)` gives a text, a Completion or a Score."""

    identity = "answering"
    context_length = None

    def __init__(self, answer: Callable[[Request], object]) -> None:
        self._answer = answer
        self.calls: list[list] = []

    def count_tokens(self, conversations: Sequence) -> list[int]:
        return [1 for _ in conversations]

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        self.calls.append(list(requests))
        for request in reversed(requests):
            answer = self._answer(request)
            if isinstance(answer, str):
                answer = Completion(request.id, answer, "stop", 7, len(answer.split()))
            if answer is not None:
                yield answer

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        self.calls.append(list(requests))
        for request in reversed(requests):
            answer = self._answer(request)
            if answer is not None:
                yield answer

    @property
    def asked(self) -> list:
        """The requests of the one call made."""
        (requests,) = self.calls
        return requests


def prompts_frame(*prompts: str | list[dict[str, str]], **columns: list) -> pl.DataFrame:
    """A prompts table; a string is a user turn."""
    conversations = [[{"role": "user", "content": p}] if isinstance(p, str) else p for p in prompts]
    return pl.DataFrame(
        {
            "prompt_id": [prompt_id(conversation) for conversation in conversations],
            "prompt": conversations,
            "source": ["test"] * len(prompts),
            "portion": [1] * len(prompts),
            **columns,
        },
        schema_overrides={"prompt_id": pl.String, "prompt": MESSAGES, "source": pl.String, "portion": pl.Int64},
    )
