"""Generation with a transformers model: rows join as others finish, so that no batch waits for its longest row.

transformers has continuous batching too, with one temperature and one seed for all and without the log-probabilities of
given tokens. `python -m benchmarks.local_generation` sets them side by side; on one core, SmolLM2-135M, 4 prompts, 24
tokens: 23.0 tokens a CPU second and 24 MiB beyond the model here, 20.5 and 35 there, 23.2 and 44 by plain `generate`.
"""

import gc
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor

from factory.engines.batch_invariant import pick
from factory.engines.kv_cache import KVCache, kv_cache_for
from factory.engines.lone_failures import LoneFailures
from factory.errors import named_line
from factory.models.exact import exact_device

PREFILL_TOKENS, GPU_PREFILL_TOKENS = 4096, 65536
"""Most prompt tokens in one forward pass: enough to keep the device busy, little enough for its memory."""
LEAST_SHARED = 16
"""A common beginning shorter than this is not worth a pass of its own."""
FIRST_GUESS = 256
"""Reply length that room is kept for until replies have finished."""


@dataclass(eq=False)
class DecodingRow:
    """One request on its way: its prompt, what has been generated, and the source of its randomness."""

    prompt: list[int]
    room: int
    """Most tokens to generate."""
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    choices: dict[str, int] | None = None
    """Tokens whose log-probabilities are wanted in place of a reply."""
    shared: int = 0
    """Length of the beginning it shares with rows next to it in the queue."""
    new: list[int] = field(default_factory=list)
    finish: str | None = None
    choice_logprobs: dict[str, float] | None = None
    error: str | None = None
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what has been generated; the same will come again, since the seed is the same."""
        # The generator starts over with the tokens: one that went on would give a reply that depends on how often
        # memory ran short.
        self.new, self.random = [], Random(self.seed)

    @property
    def length(self) -> int:
        """Number of tokens so far."""
        return len(self.prompt) + len(self.new)

    @property
    def last(self) -> int:
        """The newest token."""
        return self.new[-1] if self.new else self.prompt[-1]

    def take(self, token: int, ends: frozenset[int]) -> None:
        """Add a generated token."""
        self.new.append(token)
        if token in ends:
            self.finish = "stop"
        elif len(self.new) >= self.room:
            self.finish = "length"

    def choose(self, logits: Tensor) -> None:
        """End with the log-probabilities of the choices as the next token; the likeliest is the answer.

        Two that are equally likely are no answer: the first of them would be a vote for whatever was shown first.
        """
        assert self.choices is not None
        # In float32: in bfloat16 two choices a percent apart round to one number, and a vote becomes a tie.
        logps = logits.float().log_softmax(-1)
        self.choice_logprobs = {name: float(logps[token]) for name, token in self.choices.items()}
        most = max(self.choice_logprobs.values())
        likeliest = [self.choices[name] for name, value in self.choice_logprobs.items() if value == most]
        self.new, self.finish = likeliest[:1] if len(likeliest) == 1 else [], "stop"


def queue_order(rows: Sequence[DecodingRow], share: bool = True) -> list[DecodingRow]:
    """Rows in the order to start them: longer ones first; with `share`, those that begin alike together."""
    if not share:
        return sorted(rows, key=lambda row: -len(row.prompt))
    # Sorted by tokens, prompts with a common beginning are neighbours, so that comparing each with the next finds them
    # all.
    ordered = sorted(rows, key=lambda row: row.prompt)
    families: list[list[DecodingRow]] = []
    alone: list[DecodingRow] = []
    start = 0
    while start < len(ordered):
        stop, shared = _family(ordered, start)
        members = ordered[start:stop]
        for row in members:
            row.shared = shared
        if shared:
            families.append(members)
        else:
            alone += members
        start = stop
    for family in (*families, alone):
        family.sort(key=lambda row: -len(row.prompt))
    families.sort(key=lambda family: -len(family[0].prompt))
    return [row for family in (*families, alone) for row in family]


def _family(ordered: Sequence[DecodingRow], start: int) -> tuple[int, int]:
    """Where the run of rows that share most of what the first two share ends, and how much all of it shares."""
    stop, shared = start + 1, 0
    while stop < len(ordered):
        common = _common(ordered[stop - 1].prompt, ordered[stop].prompt)
        # A row that shares much less would shorten the beginning for all before it, whose saved tokens are worth more
        # than its own.
        if common < max(LEAST_SHARED, shared * 3 // 4):
            break
        shared, stop = min(shared or common, common), stop + 1
    return stop, shared


def _common(one: list[int], other: list[int]) -> int:
    """Length of the common beginning; at least one token of each is left over, to be predicted from."""
    limit = min(len(one), len(other)) - 1
    return next((i for i in range(limit) if one[i] != other[i]), limit)


class Decoder:
    """Runs rows through a model. `budget` bounds the tokens held at once, padding included."""

    def __init__(self, model: Any, ends: frozenset[int], pad: int, budget: int) -> None:
        self.model, self.ends, self.pad, self.budget = model, ends, pad, budget
        self._cache: KVCache = kv_cache_for(model, pad)
        self._prefill = PREFILL_TOKENS if model.device.type == "cpu" else GPU_PREFILL_TOKENS
        self._rows: list[DecodingRow] = []
        self._queue: deque[DecodingRow] = deque()
        self._lengths: list[int] = []
        self._failures = LoneFailures(self._attempt)

    def run(self, rows: Sequence[DecodingRow]) -> Iterator[DecodingRow]:
        """Yield each row when it is finished or has failed. Raises EngineError when nothing at all can be run."""
        # Longest first: those that take longest do not begin last, and widths in flight fall rather than jump.
        self._queue.extend(queue_order(rows, self._cache.can_share))
        with self._cache.attention():
            while self._queue or self._rows:
                group = self._next_group()
                failure = self._pass(group)
                if failure is not None:
                    yield from self._recover(group, failure)
                elif not group:
                    yield from self._finished()

    def _pass(self, group: Sequence[DecodingRow]) -> Exception | None:
        """One forward pass: start `group`, or move everything in flight by a token. Gives the error, if any."""
        try:
            if group:
                self._cache.start([row.prompt for row in group], group[0].shared)
                self._rows += [self._queue.popleft() for _ in group]
            else:
                self._make_room()
                self._take(self._cache.step([row.last for row in self._rows]))
        except Exception as error:  # noqa: BLE001 - out of memory has many types; a row that fails alone reports it
            return error.with_traceback(None)  # its frames hold the tensors that did not fit
        return None

    def _next_group(self) -> list[DecodingRow]:
        """Rows to start now: alike, within the budget; none while few places are free."""
        if not self._cache.can_join:
            return []
        # Room for replies as long as those that have ended: all of what they may take would leave most of it empty.
        slack = sum(self._lengths) // len(self._lengths) if self._lengths else FIRST_GUESS
        group: list[DecodingRow] = []
        width = self._cache.width
        for row in self._queue:
            width, rows = max(width, row.length), len(self._rows) + len(group) + 1
            if group and not _fits(group, row, self._prefill):
                return group
            # A single row is always let in: one that exceeds the budget by itself would wait for ever.
            if rows > 1 and rows * (width + min(row.room, slack)) > self.budget:
                break
            group.append(row)
        # A start costs a pass in which everybody in flight waits, so that it has to be for an eighth of them at least.
        return group if len(group) * 8 > len(self._rows) else []

    @torch.inference_mode()
    def _take(self, logits: Tensor) -> None:
        """Pick each row's next token."""
        # A number from each row's own generator: torch.multinomial draws for the whole batch at once.
        settings = [(row.temperature, row.top_p, row.random.random()) for row in self._rows]
        where = exact_device(logits.device)
        tokens = pick(logits, *torch.tensor(settings, dtype=torch.float64, device=where).unbind(1)).tolist()
        for row, token, scores in zip(self._rows, tokens, logits, strict=True):
            if row.choices is None:
                row.take(token, self.ends)
            else:
                row.choose(scores)

    def _finished(self) -> Iterator[DecodingRow]:
        """Rows that ended leave."""
        gone = [place for place, row in enumerate(self._rows) if row.finish]
        if gone:
            done = [self._rows[place] for place in gone]
            self._rows = [self._rows[old] for old in self._cache.remove(gone)]
            # A judge's answer is one token; counted as a reply's length it would make room for far too many rows.
            self._lengths += [len(row.new) for row in done if row.choices is None]
            self._failures.answered()
            yield from done

    def _attempt(self) -> None:
        """The least there is to run: a token drawn after two, with nothing else in flight."""
        row = DecodingRow([self.pad, self.pad], 1, temperature=1.0)
        try:
            self._cache.start([row.prompt], 0)
            self._rows = [row]
            self._take(self._cache.step([row.last]))
        finally:
            self._cache, self._rows = type(self._cache)(self.model, self.pad), []

    def _make_room(self) -> None:
        """Send the youngest rows back to the queue while one more token each would exceed the budget."""
        while len(self._rows) > 1 and len(self._rows) * self._cache.width > self.budget:
            # The one with the fewest tokens, as these are generated again.
            youngest = min(range(len(self._rows)), key=lambda place: len(self._rows[place].new))
            self._rows[youngest].restart()
            self._queue.appendleft(self._rows[youngest])
            self._rows = [self._rows[old] for old in self._cache.remove([youngest])]

    def _recover(self, group: Sequence[DecodingRow], error: Exception) -> Iterator[DecodingRow]:
        """After a failed pass: start over with half the budget; a row that fails alone is given up."""
        waiting = list(self._queue)[len(group) :]
        # The rows in flight too: a pass that failed half way has written some layers of the cache and not others.
        struck = [*group, *self._rows]
        self._cache, self._rows, self._queue = type(self._cache)(self.model, self.pad), [], deque(waiting)
        # What failed may be held by cycles, whose memory the next pass needs at once.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(struck) == 1:
            struck[0].error = named_line(error)
            yield struck[0]
            self._failures.add(error)
            return
        # Half of what was tried, not of what was allowed: with a budget far above the memory it would fail many times
        # over.
        self.budget = min(self.budget, max(row.length for row in struck) * len(struck)) // 2
        for row in struck:
            row.restart()
        self._queue.extendleft(reversed(struck))


def _fits(group: Sequence[DecodingRow], row: DecodingRow, most: int) -> bool:
    """Whether `row` may start in one pass with `group`: the same beginning, at most `most` tokens, little padding."""
    first, shared = group[0], group[0].shared
    tail, longest = len(row.prompt) - shared, len(first.prompt) - shared
    alike = row.shared == shared and row.prompt[:shared] == first.prompt[:shared]
    return alike and longest * (len(group) + 1) <= most and longest < 2 * tail + 32
