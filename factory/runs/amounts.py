"""What a run is expected to take, between which bounds that may lie, and what it cannot exceed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import NamedTuple

from factory.config import Sampling
from factory.config.apis import Prices
from factory.config.engines import EngineBlock
from factory.engines.api.wire import cost
from factory.engines.base import Request, ScoreRequest
from factory.identity import Messages
from factory.runs.rates import Rates, Taken, Time, kind_of
from factory.stages.audit_sample import FRAME
from factory.store.journal import with_room

CHARS_PER_TOKEN = 4
"""A rule of thumb for English: a plan opens no tokenizer."""
LENGTHS = {"check": 2, "features": 12, "principles": 150, "replies": 300, "weaker replies": 300}
"""Tokens of an answer, where none was measured."""
VERDICT = 2
"""The same of a judge."""
GUESSED = 2.0
"""What was not measured may be so many times as much, or as little."""
_LEAST, _SPREAD = 0.1, 1.5
_AGAIN = 2
"""Tokens, at most, that a judge's tokenizer makes of one of the policy's, escapes included."""


class Amount(NamedTuple):
    """Requests, tokens and money; no cost where nothing has a price."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None

    @property
    def tokens(self) -> int:
        """Of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens


class StagePlan(NamedTuple):
    """What one stage is expected to ask."""

    name: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    time: Time
    """How long its requests take, not counting the loading of a model."""
    cost: float | None
    low: Amount = Amount()
    high: Amount = Amount()
    """Between these it probably ends."""
    most: Amount = Amount()
    """What it cannot exceed."""
    measured: bool = False
    """Whether the lengths are those of an earlier stage of that kind."""


def summed(stages: list[StagePlan]) -> StagePlan:
    """The total; its cost is None when no stage has a price, its time when that of any stage is unknown."""
    known = [stage.time.seconds for stage in stages if stage.time.seconds is not None]
    # A sum of some of the times would be read as that of all.
    time = Time(sum(known)) if len(known) == len(stages) else Time()
    low, high, most = (_add([getattr(stage, name) for stage in stages]) for name in ("low", "high", "most"))
    each = _add([Amount(stage.requests, stage.prompt_tokens, stage.completion_tokens, stage.cost) for stage in stages])
    counts = (each.requests, each.prompt_tokens, each.completion_tokens)
    return StagePlan("total", *counts, time, each.cost, low, high, most)


def _add(amounts: list[Amount]) -> Amount:
    costs = [amount.cost for amount in amounts if amount.cost is not None]
    requests, sent, received = (sum(getattr(amount, name) for amount in amounts) for name in Amount._fields[:3])
    return Amount(requests, sent, received, sum(costs) if costs else None)


class Scale(NamedTuple):
    """How what was counted for some prompts becomes what a run does."""

    expected: float
    low: float
    high: float
    most: float


@dataclass
class StageAmounts:
    """What a stage asked of a scripted engine, in the name of the one it stands for."""

    name: str
    block: EngineBlock
    prices: Prices | None
    setting: str
    requests: int = 0
    chars: int = 0
    bytes: int = 0
    """Of prompts, as UTF-8."""
    turns: int = 0
    room: int = 0
    """Tokens that the answers may have."""
    written: int = 0
    """Characters of the answers."""
    replies: int = 0
    """Replies of the policy that stand in the prompts …"""
    shown: float = 0.0
    """… and how many tokens they have there."""
    retried: int | None = None
    """Of a judge: how often each question is asked at most."""
    pairs: int = 0
    """Of a judge: pairs that it may be asked about …"""
    compared: int = 0
    """… and further ones, of replies that it is to tell the best and the worst of."""

    def ask(self, requests: Sequence[Request]) -> None:
        """Count requests for text."""
        # Spelt as manifests spell it, since measured rates are looked up by it; of several calls the last one's room
        # stands.
        self.setting = with_room(self.setting.split("/")[0], requests)
        self._count([request.messages for request in requests])
        self.room += sum(request.max_new_tokens for request in requests)
        self.replies += 2 * len(requests) if self.retried else 0

    def score(self, requests: Sequence[ScoreRequest]) -> None:
        """Count requests for scores; their replies are part of what is read."""
        self._count([request.messages for request in requests])
        texts = [reply.text for request in requests for reply in request.replies]
        self.replies += len(texts)
        self.chars += sum(map(len, texts))

    def _count(self, conversations: Sequence[Messages]) -> None:
        texts = [turn["content"] for messages in conversations for turn in messages]
        self.requests, self.turns = self.requests + len(conversations), self.turns + len(texts)
        self.chars += sum(map(len, texts))
        self.bytes += sum(len(text.encode("utf-8", "replace")) for text in texts)

    def plan(self, scale: Scale, rates: Rates, sampling: Sampling) -> StagePlan:
        """The stage's plan, `scale` times what was counted."""
        taken = rates.taken.get((kind_of(self.name), self.setting))
        count, fewest, highest = self._requests(scale, rates, taken)
        sent, received = self._each(taken, sampling)
        prompt, completion = ceil(count * sent), ceil(count * received)
        most = self._most(scale, sampling)
        less, more = (1 - spread(taken.requests), 1 + spread(taken.requests)) if taken else (1 / GUESSED, GUESSED)
        low = self._bounded(fewest, sent * less, received * less, most)
        high = self._bounded(highest, sent * more, received * more, most)
        time = rates.time(self.name, self.setting, self.block, count, prompt + completion)
        money = cost(self.prices, prompt, completion)
        return StagePlan(self.name, count, prompt, completion, time, money, low, high, most, taken is not None)

    def _requests(self, scale: Scale, rates: Rates, taken: Taken | None) -> tuple[int, int, int]:
        """Expected, low, high: a judge's hang on its votes, the others are as many as they are."""
        measured, off, each = rates.pairs.get(kind_of(self.name)), 0.0, float(self.requests)
        if self.retried:
            # Divided by 1 - off above and multiplied below: half as many, or twice.
            off = 1 - 1 / GUESSED
            if taken and measured:
                each, off = self.pairs * taken.requests / measured, spread(measured)
        return ceil(each * scale.expected), ceil(each * scale.low * (1 - off)), ceil(each * scale.high / (1 - off))

    def _each(self, taken: Taken | None, sampling: Sampling) -> tuple[float, float]:
        """Tokens of a prompt and of an answer."""
        if taken:
            return taken.prompt_tokens / taken.requests, taken.completion_tokens / taken.requests
        count = max(self.requests, 1)
        longer = self.replies * min(LENGTHS["replies"], sampling.max_new_tokens) - self.shown
        guess = VERDICT if self.retried else LENGTHS.get(kind_of(self.name), 0)
        return (self.chars / CHARS_PER_TOKEN + longer) / count, min(self.room / count, guess)

    def _most(self, scale: Scale, sampling: Sampling) -> Amount:
        """A token per byte of what is known, the longest replies shown, the longest answers, every retry."""
        count = max(self.requests, 1)
        # No tokenizer makes more tokens of a text than it has bytes; what a template puts around turns comes on top.
        prompt = (self.bytes + FRAME * self.turns + self.replies * _AGAIN * sampling.max_new_tokens) / count
        asked = 2 * (self.pairs + self.compared) * self.retried if self.retried else self.requests
        requests = ceil(asked * scale.most)
        sent, received = ceil(requests * prompt), ceil(requests * self.room / count)
        return Amount(requests, sent, received, cost(self.prices, sent, received))

    def _bounded(self, requests: int, sent: float, received: float, most: Amount) -> Amount:
        # A guess may come out above what is possible, and the bound is the better guess then.
        prompt = min(ceil(requests * sent), most.prompt_tokens)
        completion = min(ceil(requests * received), most.completion_tokens)
        return Amount(min(requests, most.requests), prompt, completion, cost(self.prices, prompt, completion))


def spread(n: int) -> float:
    """How far, relatively, a mean over n answers may be off: lengths and votes differ a good deal."""
    return min(0.9, _LEAST + _SPREAD / sqrt(max(n, 1)))
