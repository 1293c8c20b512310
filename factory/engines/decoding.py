"""Generation with a transformers model: rows join as others finish, so that no batch waits for its longest row."""

import gc
import inspect
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from factory.engines.sampling import pick
from factory.engines.slab import Held, held

PREFILL_TOKENS = 4096
"""Most prompt tokens in one forward pass: enough to keep a processor busy, little enough for its memory."""
LEAST_SHARED = 16
"""A common beginning shorter than this is not worth a pass of its own."""
FIRST_GUESS = 256
"""Reply length that room is kept for until replies have finished."""


@dataclass(eq=False)
class Row:
    """One request on its way: its prompt, what has been generated, and the source of its randomness."""

    prompt: list[int]
    room: int
    """Most tokens to generate."""
    temperature: float = 0.0
    top_p: float = 1.0
    random: Random = field(default_factory=Random)
    choices: dict[str, int] | None = None
    """Tokens whose log-probabilities are wanted in place of a reply."""
    shared: int = 0
    """Length of the beginning it shares with rows next to it in the queue."""
    new: list[int] = field(default_factory=list)
    finish: str | None = None
    choice_logprobs: dict[str, float] | None = None
    error: str | None = None

    @property
    def ids(self) -> list[int]:
        """All tokens so far."""
        return self.prompt + self.new

    @property
    def length(self) -> int:
        """Number of tokens so far."""
        return len(self.prompt) + len(self.new)

    def take(self, token: int, ends: frozenset[int]) -> None:
        """Add a generated token."""
        self.new.append(token)
        if token in ends:
            self.finish = "stop"
        elif len(self.new) >= self.room:
            self.finish = "length"


def queue_order(rows: Sequence[Row], share: bool = True) -> list[Row]:
    """Rows in the order to start them: longer ones first; with `share`, those that begin alike together."""
    if not share:
        return sorted(rows, key=lambda row: -len(row.prompt))
    ordered = sorted(rows, key=lambda row: row.prompt)
    families: list[list[Row]] = []
    alone: list[Row] = []
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


def _family(ordered: Sequence[Row], start: int) -> tuple[int, int]:
    """Where the run of rows that share most of what the first two share ends, and how much all of it shares."""
    stop, shared = start + 1, 0
    while stop < len(ordered):
        common = _common(ordered[stop - 1].prompt, ordered[stop].prompt)
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
        parameters = inspect.signature(type(model).forward).parameters
        self._cache_name = "cache" if "cache" in parameters else "past_key_values"
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._held: Held = held(model)
        self._rows: list[Row] = []
        self._queue: deque[Row] = deque()
        self._prefix: tuple[tuple[int, ...], Any] = ((), None)
        self._lengths: list[int] = []

    def run(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Yield each row when it is finished or has failed."""
        self._queue.extend(queue_order(rows, self._held.can_share))
        while self._queue or self._rows:
            group = self._next_group()
            failure = self._pass(group)
            if failure is None:
                yield from self._finished(group)
            else:
                yield from self._recover(group, failure)

    def _pass(self, group: Sequence[Row]) -> Exception | None:
        """One forward pass: start `group`, or move everything in flight by a token. Gives the error, if any."""
        try:
            if group:
                self._start(group)
            else:
                self._make_room()
                self._advance()
        except Exception as error:  # noqa: BLE001 - out of memory has many types; a row that fails alone reports it
            return error.with_traceback(None)  # its frames hold the tensors that did not fit
        return None

    def _finished(self, group: Sequence[Row]) -> Iterator[Row]:
        """Rows that ended: in the group just started, or among those in flight."""
        done = [row for row in group if row.finish]
        gone = [place for place, row in enumerate(self._rows) if row.finish]
        if gone:
            done += [self._rows[place] for place in gone]
            self._leave(gone)
        self._lengths += [len(row.new) for row in done if row.choices is None]
        yield from done

    def _next_group(self) -> list[Row]:
        """Rows to start now: alike, within the budget; none while few places are free."""
        if not self._held.can_join:
            return []
        slack = sum(self._lengths) // len(self._lengths) if self._lengths else FIRST_GUESS
        group: list[Row] = []
        width, shared = self._held.width, self._queue[0].shared if self._queue else 0
        for row in self._queue:
            width = max(width, row.length)
            first = group[0] if group else row
            rows = len(self._rows) + len(group) + 1
            padded = (first.length - shared) * (len(group) + 1)
            alike = row.shared == shared and row.prompt[:shared] == first.prompt[:shared]
            if group and not (alike and padded <= PREFILL_TOKENS and 2 * (row.length - shared) > first.length - shared):
                return group
            if rows > 1 and rows * (width + min(row.room, slack)) > self.budget:
                break
            group.append(row)
        return group if len(group) * 8 > len(self._rows) else []

    @torch.inference_mode()
    def _start(self, group: Sequence[Row]) -> None:
        """Run the prompts of `group`; rows that do not end at once join those in flight."""
        shared = group[0].shared
        cache = self._begin(group[0].prompt[:shared], len(group))
        ids, mask = self._padded([row.ids[shared:] for row in group], shared)
        positions = (mask.long().cumsum(1) - 1).clamp(min=0)[:, shared:]
        logits = self._forward(ids, mask, positions, cache)
        for row, scores in zip(group, logits, strict=True):
            if row.choices:
                _choose(row, scores)
        self._take(group, logits)
        members = [place for place, row in enumerate(group) if not row.finish]
        if members:
            self._held.join(cache, mask, members)
            self._rows += [group[place] for place in members]
        for _ in group:
            self._queue.popleft()

    def _begin(self, prefix: list[int], rows: int) -> Any:
        """A cache that holds `prefix` for `rows` rows; the last prefix is kept, as its rows come in several groups."""
        cache = DynamicCache(config=self.model.config)
        if not prefix:
            return cache
        if self._prefix[0] != tuple(prefix):
            alone = DynamicCache(config=self.model.config)
            ids, mask = self._padded([prefix], 0)
            self._forward(ids, mask, mask.long().cumsum(1) - 1, alone)
            self._prefix = (tuple(prefix), alone)
        for place, layer in enumerate(self._prefix[1].layers):
            keys, values = (part.expand(rows, -1, -1, -1) for part in (layer.keys, layer.values))
            cache.update(keys, values, place)
        return cache

    @torch.inference_mode()
    def _advance(self) -> None:
        """One more token for every row in flight."""
        mask = self._held.step()
        device = mask.device
        ids = torch.tensor([[row.new[-1]] for row in self._rows], device=device)
        positions = torch.tensor([[row.length - 1] for row in self._rows], device=device)
        self._take(self._rows, self._forward(ids, mask, positions, self._held.cache))

    @torch.inference_mode()
    def _leave(self, gone: Sequence[int]) -> None:
        """Take rows out of those in flight."""
        self._rows = [self._rows[old] for old in self._held.leave(gone)]

    def _make_room(self) -> None:
        """Send the youngest rows back to the queue while one more token each would exceed the budget."""
        while len(self._rows) > 1 and len(self._rows) * (self._held.width + 1) > self.budget:
            youngest = min(range(len(self._rows)), key=lambda place: len(self._rows[place].new))
            self._queue.appendleft(self._rows[youngest])
            self._leave([youngest])

    def _recover(self, group: Sequence[Row], error: Exception) -> Iterator[Row]:
        """After a failed pass: start over with half the budget; a row that fails alone is given up."""
        struck = list(group) + [row for row in self._rows if row not in group]
        waiting = [row for row in self._queue if row not in group]
        self._held, self._rows, self._prefix = held(self.model), [], ((), None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(struck) == 1:
            struck[0].error = f"{type(error).__name__}: {error}"[:500]
            self._queue = deque(waiting)
            yield struck[0]
            return
        self.budget = min(self.budget, max(row.length for row in struck) * len(struck)) // 2
        self._queue = deque(struck + waiting)

    def _padded(self, sequences: Sequence[list[int]], before: int) -> tuple[Tensor, Tensor]:
        """Left-padded ids [rows, width], and the mask [rows, before + width] of what is no padding."""
        width = max(map(len, sequences))
        ids = torch.tensor([[self.pad] * (width - len(ids)) + ids for ids in sequences])
        gaps = torch.tensor([width - len(ids) for ids in sequences])
        mask = torch.arange(width)[None] >= gaps[:, None]
        mask = torch.cat([torch.ones(len(sequences), before, dtype=torch.bool), mask], dim=1)
        return ids.to(self.model.device), mask.to(self.model.device)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Any:
        """Logits [rows, vocabulary] after the last column."""
        options = {self._cache_name: cache, **self._last_only}
        out = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, **options)
        return out.logits[:, -1]

    def _take(self, rows: Sequence[Row], logits: Tensor) -> None:
        """Pick each row's next token."""
        settings = [(row.temperature, row.top_p, row.random.random()) for row in rows]
        columns = torch.tensor(settings, dtype=torch.float64, device=logits.device).unbind(1)
        temperature, top_p, uniform = columns
        for row, token in zip(rows, pick(logits, temperature.float(), top_p, uniform).tolist(), strict=True):
            if not row.finish:
                row.take(token, self.ends)


def _choose(row: Row, logits: Tensor) -> None:
    """Log-probabilities of the row's choices as its next token; the likeliest is its answer."""
    assert row.choices is not None
    logps = logits.float().log_softmax(-1)
    row.choice_logprobs = {name: float(logps[token]) for name, token in row.choices.items()}
    row.new, row.finish = [row.choices[max(row.choice_logprobs, key=row.choice_logprobs.__getitem__)]], "stop"
