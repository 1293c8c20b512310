"""How prompts and replies are laid out as tensors, and how they are grouped into batches by a token budget."""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from factory.models.shared_prompt import Segments, segments_of

Layout = Literal["flat", "masked", "separate"]
_Spans = tuple[int, int, list[tuple[int, int]]]


class Encoded(NamedTuple):
    """Token ids of a prompt (generation prompt included) and of the replies to score under it."""

    prompt: Sequence[int]
    replies: tuple[Sequence[int], ...]

    def tokens(self, layout: Layout) -> int:
        """How many tokens this item puts through the model, padding between items aside."""
        replies = sum(map(len, self.replies))
        return replies + len(self.prompt) * (len(self.replies) if layout == "separate" else 1)

    @property
    def longest(self) -> int:
        """Length of prompt and longest reply: what must fit the model's context."""
        return len(self.prompt) + max(map(len, self.replies), default=0)


class TensorBatch(NamedTuple):
    """Items as tensors. N is the number of reply tokens, R of replies, in the order of the items and their replies."""

    input_ids: Tensor
    """[rows, T] int64."""
    position_ids: Tensor | None
    """[rows, T] int64; None where positions simply count up."""
    attention_mask: Tensor | None
    """[rows, T] int64 or [rows, 1, T, T] bool (True is seen); None in the flat layout."""
    segments: Segments | None
    """The flat layout's grid."""
    at: Tensor
    """[N] place, in the flattened rows, of the state that predicts each reply token."""
    targets: Tensor
    """[N] the reply tokens."""
    owner: Tensor
    """[N] the reply each belongs to."""
    counts: Tensor
    """[R] reply lengths in tokens."""

    def to(self, device: torch.device | str) -> "TensorBatch":
        """The same on another device."""
        return TensorBatch(*(_to(part, device) for part in self))


def _to(part: Any, device: torch.device | str) -> Any:
    if isinstance(part, Segments):
        return Segments(*(tensor.to(device) for tensor in part))
    return None if part is None else part.to(device)


def buckets(lengths: Sequence[int], max_tokens: int, padded: bool = False) -> list[list[int]]:
    """Group items by length so that no group exceeds `max_tokens`, unless it holds one item alone; longest first.

    `padded` counts every item of a group as long as its longest (rows), else lengths add up (the flat layout).
    """
    groups: list[list[int]] = []
    used = 0
    # Longest first: a batch that does not fit fails at once, not after an hour.
    for item in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        # In rows the first of a group is its longest, which all others are padded to.
        cost = lengths[groups[-1][0]] if groups and padded else lengths[item]
        if not groups or used + cost > max_tokens:
            groups.append([])
            used, cost = 0, lengths[item]
        groups[-1].append(item)
        used += cost
    return groups


def layout(items: Sequence[Encoded], kind: Layout) -> TensorBatch:
    """Lay out `items` as tensors. Raises ValueError on an empty prompt, which nothing could predict a reply from.

    Rows are filled up with token 0, which every model has: a tokenizer's own may be one that the model was not given.
    """
    if not all(item.prompt for item in items):
        raise ValueError("a prompt without a token cannot be followed by a reply")
    if kind == "separate":
        items = [Encoded(item.prompt, (reply,)) for item in items for reply in item.replies]
    rows = [list(chain(item.prompt, *item.replies)) for item in items]
    lengths = [len(row) for row in rows]
    width = sum(lengths) if kind == "flat" else max(lengths)
    starts = [0, *accumulate(lengths if kind == "flat" else [width] * len(rows))][:-1]
    padded = [list(chain.from_iterable(rows))] if kind == "flat" else [_pad(row, width) for row in rows]
    spans = [_spans(item, start) for item, start in zip(items, starts, strict=True)]
    return TensorBatch(
        torch.tensor(padded),
        None if kind == "separate" else _positions(items, kind, width),
        None if kind == "flat" else _mask(items, kind, width),
        segments_of(spans, width) if kind == "flat" else None,
        *_targets(items, spans),
    )


def _pad(row: list[int], width: int, fill: int = 0) -> list[int]:
    return row + [fill] * (width - len(row))


def _spans(item: Encoded, start: int) -> _Spans:
    """[start, stop) of the prompt, and of each reply behind it."""
    stop = place = start + len(item.prompt)
    replies = []
    for reply in item.replies:
        replies.append((place, place + len(reply)))
        place += len(reply)
    return start, stop, replies


def _targets(items: Sequence[Encoded], spans: Sequence[_Spans]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    at: list[int] = []
    targets: list[int] = []
    counts: list[int] = []
    for item, (_, stop, parts) in zip(items, spans, strict=True):
        for reply, (first, last) in zip(item.replies, parts, strict=True):
            # The prompt's last state predicts the first token of every reply.
            at += [stop - 1, *range(first, last - 1)] if reply else []
            targets += reply
            counts.append(len(reply))
    number = torch.tensor(counts, dtype=torch.int64)
    owner = torch.repeat_interleave(torch.arange(len(counts)), number)
    return torch.tensor(at, dtype=torch.int64), torch.tensor(targets, dtype=torch.int64), owner, number


# Every reply goes on where its prompt ends, as if the others were not there.
def _positions(items: Sequence[Encoded], kind: Layout, width: int) -> Tensor:
    rows = [
        [*range(len(item.prompt)), *(len(item.prompt) + i for reply in item.replies for i in range(len(reply)))]
        for item in items
    ]
    return torch.tensor([list(chain.from_iterable(rows))] if kind == "flat" else [_pad(row, width) for row in rows])


def _mask(items: Sequence[Encoded], kind: Layout, width: int) -> Tensor:
    """Which token sees which: the prompt is seen by all behind it, a reply by itself alone, padding by nobody real."""
    parts = [
        [0] * len(item.prompt) + [part for part, reply in enumerate(item.replies, 1) for _ in reply] for item in items
    ]
    if kind == "separate":
        return torch.tensor([_pad([1] * len(row), width) for row in parts])
    # Padding is a part of its own. It sees the prompt, as a row of which all is masked comes out of softmax as NaN.
    part = torch.tensor([_pad(row, width, -1) for row in parts])
    seen = (part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None])
    return (seen & torch.ones(width, width, dtype=torch.bool).tril()).unsqueeze(1)
