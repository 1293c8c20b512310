"""Pairs as token ids: what the loss of a method reads of each pair, and which pairs it cannot use."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, NamedTuple

import polars as pl
from transformers import PreTrainedTokenizerBase

from factory.errors import ConfigError
from factory.models.chat import as_written, knows_system, prompt_ids, reply_ids
from factory.models.layout import Encoded, Layout
from factory.schema import REPLIES, VIEWS, logp_column
from factory.training.conditionals import Conditional
from principles.views import Turns, views


class TrainingExample(NamedTuple):
    """A pair as the trainer sees it: one Encoded per view, whose replies are the conditionals in their order."""

    pair_id: str
    key: str
    """Hash of the token ids: what a log-probability depends on beside the model."""
    items: tuple[Encoded, ...]
    measured: tuple[float, ...] | None
    """pi~ of each conditional as the pair's `logp_*` columns have it; None where one of them is missing."""
    stripped: int = 0
    """How many of its replies have reasoning that the chat template does not write."""

    @property
    def counts(self) -> list[int]:
        """Reply length of each conditional, tokens."""
        return [len(reply) for item in self.items for reply in item.replies]

    @property
    def plain(self) -> "TrainingExample":
        """The same pair without its steered views: of its conditionals, which come view by view, the first."""
        return self._replace(items=self.items[:1])

    def tokens(self, layout: Layout) -> int:
        """Tokens this pair puts through the model."""
        return sum(item.tokens(layout) for item in self.items)


class Encoding(NamedTuple):
    """The usable pairs, and how many were left out for which reason."""

    examples: list[TrainingExample]
    dropped: dict[str, int]
    stripped: int
    """Replies among the usable pairs that are trained without the reasoning in them, since the template strips it."""


class PairReader(NamedTuple):
    """How pairs are read: what of them, with which tokenizer, and how long they may be."""

    needed: Sequence[Conditional]
    tokenizer: PreTrainedTokenizerBase
    fold_system: bool
    max_length: int


def encode(pairs: pl.DataFrame, reader: PairReader) -> Encoding:
    """Encode the pairs of a SCORES table (its `logp_*` columns may be absent). Kept + dropped = input.

    Dropped are pairs that lack a view or a reply the method compares (`missing_view`), have a reply without a token
    (`empty_reply`) or a prompt with reply beyond the length limit (`too_long`): nothing is ever cut. Raises ConfigError
    when none is left.
    """
    fold = reader.fold_system or not knows_system(reader.tokenizer)
    reader = reader._replace(fold_system=fold)
    found = [_example(row, reader) for row in pairs.iter_rows(named=True)]
    examples = [example for example in found if isinstance(example, TrainingExample)]
    dropped = Counter(reason for reason in found if isinstance(reason, str))
    if not examples:
        raise ConfigError(_nothing_left(pairs, dropped, reader))
    return Encoding(examples, dict(sorted(dropped.items())), sum(example.stripped for example in examples))


def _nothing_left(pairs: pl.DataFrame, dropped: Counter[str], reader: PairReader) -> str:
    if dropped["missing_view"]:
        return (
            "training.method: it compares replies under principles, and no pair has system_good, system_bad and "
            "original; use annotated or pbaa for such pairs"
        )
    if not len(pairs):
        return "there is no pair to train on"
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
    return (
        f"no pair can be trained on ({reasons}; longest allowed: {reader.max_length} tokens); raise training.max_length"
    )


def _example(row: Mapping[str, Any], reader: PairReader) -> TrainingExample | str:
    turns = views(row["prompt"], row.get("system_good"), row.get("system_bad"))._asdict()
    replies: dict[str, array[int]] = {}
    stripped = 0
    for reply in REPLIES:
        if not any(needed.reply == reply for needed in reader.needed):
            continue
        text = row.get(reply)
        if text is None:
            return "missing_view"
        # Whoever wrote it left it unfinished; an end behind it would teach to end in the middle.
        finished = row.get(f"finish_{reply}") != "length"
        written = as_written(reader.tokenizer, text)
        stripped += written != text
        # Four bytes a token, where a list has eight for its reference alone.
        replies[reply] = array("i", reply_ids(reader.tokenizer, written, finished))
        # Nothing but reasoning that the template strips: what would be trained is the end token alone.
        if not replies[reply] or (text and not written):
            return "empty_reply"
    if any(turns[needed.view] is None for needed in reader.needed):
        return "missing_view"
    items = _items(turns, replies, reader)
    if max(item.longest for item in items) > reader.max_length:
        return "too_long"
    return TrainingExample(row["pair_id"], _key(items), items, _measured(row, reader.needed), stripped)


def _items(turns: Mapping[str, Turns], replies: Mapping[str, "array[int]"], reader: PairReader) -> tuple[Encoded, ...]:
    items = []
    for view in VIEWS:
        under = tuple(replies[needed.reply] for needed in reader.needed if needed.view == view)
        if under:
            items.append(Encoded(array("i", prompt_ids(reader.tokenizer, turns[view], reader.fold_system)), under))
    return tuple(items)


def _key(items: Sequence[Encoded]) -> str:
    hashed = hashlib.blake2b(digest_size=16)
    for item in items:
        for ids in (item.prompt, *item.replies):
            # With the length, so that a token that goes from a prompt to its reply makes another key.
            hashed.update(len(ids).to_bytes(4, "little"))
            hashed.update(array("i", ids).tobytes())
    return hashed.hexdigest()


def _measured(row: Mapping[str, Any], needed: Sequence[Conditional]) -> tuple[float, ...] | None:
    given = (row.get(logp_column(*conditional)) for conditional in needed)
    found = tuple(value for value in given if value is not None and not isnan(value))
    return found if len(found) == len(needed) else None
