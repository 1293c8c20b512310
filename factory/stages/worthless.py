"""A stage that is plainly worthless ends early: the answers of an engine are watched as they come."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from factory.engines.base import Completion, Generator, Request
from factory.errors import EngineError, one_line
from factory.identity import Messages
from factory.stages.verdict import read_verdict

IN_A_ROW = 20
"""So many answers without use, and none of use between them, say that the others will be of none."""
SHOWN = 3
"""How many of them are shown."""
_CHARS = 80


class Sign(NamedTuple):
    """What makes an answer useless."""

    said: str
    """What 20 of them are said to be."""
    advice: str
    useful: Callable[[Completion], bool | None]
    """Whether an answer is of use; None for one that tells nothing, or not yet."""


def _readable(answer: Completion) -> bool | None:
    """A verdict can be read. Asking again tells nothing: whoever is asked again was unreadable before."""
    first = answer.id.endswith("/0")
    return None if answer.error or not first else read_verdict(answer).identifier is not None


class _Differing:
    """The three replies to a prompt are three: told with the last of them."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[str]] = defaultdict(list)

    def __call__(self, answer: Completion) -> bool | None:
        if answer.error:
            return None
        _, prompt, _, k = answer.id.split("/")
        replies = self._waiting[f"{prompt}/{k}"]
        replies.append(" ".join((answer.text or "").split()))
        if len(replies) < 3:
            return None
        del self._waiting[f"{prompt}/{k}"]
        return len(set(replies)) == 3


def signs(name: str) -> list[Sign]:
    """What to watch for in the answers to the asker `name` (`replies 1`, `judge J`)."""
    kind = name.split(" ")[0]
    found = [Sign("requests in a row had no answer", "look at engine and model", lambda answer: answer.error is None)]
    if kind == "judge":
        found.append(Sign("answers in a row hold no verdict", "look at the judge's model and template", _readable))
    if kind == "replies":
        said = "triples in a row have two equal replies"
        found.append(Sign(said, "look at the model, sampling.temperature and the system role", _Differing()))
    return found


class Watched:
    """A Generator that ends with EngineError once one of the signs has come IN_A_ROW times, the answers passed on."""

    def __init__(self, engine: Generator, name: str) -> None:
        self._engine, self._name, self._signs = engine, name, signs(name)
        self._useless: dict[str, list[Completion]] = defaultdict(list)

    @property
    def identity(self) -> str:
        """The engine's own."""
        return self._engine.identity

    @property
    def context_length(self) -> int | None:
        """The engine's own."""
        return self._engine.context_length

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        """The engine's own."""
        return self._engine.count_tokens(conversations)

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """As the engine's. Raises EngineError, with three raw answers, after an answer that makes it plain."""
        for answer in self._engine.generate(requests):
            yield answer
            for sign in self._signs:
                self._note(sign, answer)

    def _note(self, sign: Sign, answer: Completion) -> None:
        useful, seen = sign.useful(answer), self._useless[sign.said]
        if useful is None:
            return
        if useful:
            seen.clear()
            return
        seen.append(answer)
        if len(seen) >= IN_A_ROW:
            raw = ", ".join(repr(_short(one)) for one in seen[-SHOWN:])
            raise EngineError(
                f"{self._name}: {IN_A_ROW} {sign.said}, the last being {raw}; what has arrived is kept; {sign.advice}, "
                "then the same command goes on"
            )


def _short(answer: Completion) -> str:
    line = one_line(answer.text if answer.error is None else answer.error)  # type: ignore[arg-type]
    return line if len(line) <= _CHARS else line[: _CHARS - 1] + "…"
