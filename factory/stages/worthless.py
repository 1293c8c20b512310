"""A stage that is plainly worthless ends early: the answers of an engine are watched as they come."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import polars as pl

from factory.engines.base import Completion, Generate, Request
from factory.errors import EngineError, short
from factory.schema import VIEWS
from factory.stages.verdict import read_verdict
from factory.stages.votes import VoteParts

IN_A_ROW = 20
"""So many answers without use, and none of use between them, say that the others will be of none."""
SHOWN = 3
"""How many of them are shown."""
_CHARS = 80
_AT_THE_JUDGE = "look at the judge's model and template"


class Sign(NamedTuple):
    """What makes an answer useless."""

    said: str
    """What 20 of them are said to be."""
    advice: str
    useful: Callable[[Completion], bool | None]
    """Whether an answer is of use; None for one that tells nothing, or not yet."""


class _Readable:
    """A verdict can be read.

    Whoever is asked again was unreadable before: a further try tells something only of a judge that nothing could be
    read from so far.
    """

    def __init__(self) -> None:
        self._unread: set[str] | None = set()

    def __call__(self, answer: Completion) -> bool | None:
        if answer.error:
            return None
        question, _, attempt = answer.id.rpartition("/")
        if read_verdict(answer).identifier is not None:
            self._unread = None
            return True
        if attempt == "0":
            if self._unread is not None:
                self._unread.add(question)
            return False
        return False if self._unread and question in self._unread else None


class _Differing:
    """The replies to a prompt under the three views are three: told with the last of them, which lets go of them.

    Other ways to make pairs have no such three, and keep nothing.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[str | None]] = defaultdict(list)

    def __call__(self, answer: Completion) -> bool | None:
        _, prompt, view, k = answer.id.split("/")
        if view not in VIEWS:
            return None
        replies = self._waiting[f"{prompt}/{k}"]
        replies.append(None if answer.error else " ".join((answer.text or "").split()))
        # Engines answer in any order: whichever of the three comes last is the one that tells.
        if len(replies) < len(VIEWS):
            return None
        del self._waiting[f"{prompt}/{k}"]
        return None if None in replies else len(set(replies)) == len(VIEWS)


def signs(name: str) -> list[Sign]:
    """What to watch for in the answers to the asker `name` (`replies 1`, `judge J`)."""
    kind = name.split(" ")[0]
    found = [Sign("requests in a row had no answer", "look at engine and model", lambda answer: answer.error is None)]
    if kind == "judge":
        found.append(Sign("answers in a row hold no verdict", _AT_THE_JUDGE, _Readable()))
    if kind == "replies":
        said = "triples in a row have two equal replies"
        found.append(Sign(said, "look at the model, sampling.temperature and the system role", _Differing()))
    return found


class AnswerWatch:
    """Watches the answers to the asker `name`, over all that it asks."""

    def __init__(self, name: str) -> None:
        self._name, self._signs = name, signs(name)
        self._useless: dict[str, list[Completion]] = defaultdict(list)

    def watched(self, generate: Generate) -> Generate:
        """`generate` until one of the signs has come IN_A_ROW times: EngineError then, with three raw answers."""

        def asking(requests: Sequence[Request]) -> Iterator[Completion]:
            for answer in generate(requests):
                yield answer  # first of all: what was paid for is journaled before the stage ends
                for sign in self._signs:
                    self._note(sign, answer)

        return asking

    def _note(self, sign: Sign, answer: Completion) -> None:
        useful, seen = sign.useful(answer), self._useless[sign.said]
        # Neither for nor against: the row of useless answers goes on over it.
        if useful is None:
            return
        if useful:
            seen.clear()
            return
        seen.append(answer)
        if len(seen) >= IN_A_ROW:
            answers = [one.text if one.error is None else one.error for one in seen]
            raise EngineError(f"{self._name}: {IN_A_ROW} {sign.said}, the last being {_end(answers, sign.advice)}")


def require_verdicts(votes: VoteParts) -> None:
    """Raise EngineError, with three raw answers, where a judge was asked about every pair and none could be read."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    most = 0
    for part in votes.narrow():
        most += part["pair_id"].n_unique()
        by_judge = part.group_by("judge").agg(
            read=pl.col("vote").count(), answered=pl.len(), pairs=pl.col("pair_id").n_unique()
        )
        for judge, *found in by_judge.iter_rows():
            # Every pair has all its votes in one part, so that pairs may be summed over parts.
            counts[judge].update(dict(zip(("read", "answered", "pairs"), found, strict=True)))
    for judge, count in sorted(counts.items()):
        if count["read"] == 0 and count["pairs"] == most:
            its = votes.scan().filter(pl.col("judge") == judge).select(pl.coalesce("error", "raw")).tail(SHOWN)
            told = f"judge {judge}: none of {count['answered']:,} questions was answered with a verdict, the last"
            raise EngineError(f"{told} answers being {_end(its.collect().to_series().to_list(), _AT_THE_JUDGE)}")


def _end(answers: Sequence[str | None], advice: str) -> str:
    """The last answers as they came, and what to do."""
    raw = ", ".join(repr(short(answer or "", _CHARS)) for answer in answers[-SHOWN:])
    return f"{raw}; what has arrived is kept; {advice}, then the same command goes on"
