"""Rewards of conversations: one number each, or null and why."""

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from factory.errors import EngineError
from factory.identity import Messages, digest
from factory.models.attention import even_up_to, positions
from factory.models.layout import buckets
from factory.models.load import device_of, load_reward_model, load_tokenizer
from factory.models.ref import ModelRef
from factory.progress import Progress
from factory.reward.config import RewardScoring
from factory.reward.tokens import REFUSED, ConversationReader, with_padding
from factory.store.journal import Journal


class Conversation(NamedTuple):
    """A reply with what it answers."""

    prompt: Messages
    reply: str


class Reward(NamedTuple):
    """What a reward model gives a conversation."""

    score: float | None
    tokens: int | None
    """Length of the whole conversation."""
    cut: bool
    """Only its end was read."""
    missing: str | None
    """Why there is no score."""


def open_reward_model(ref: ModelRef, config: RewardScoring) -> "RewardModel":
    """The reward model `ref`, loaded. Raises EngineError when it is none or cannot be had."""
    tokenizer = load_tokenizer(ref)
    model = load_reward_model(ref, device_of(config.device), getattr(torch, config.dtype))
    return RewardModel(model, tokenizer, config)


class RewardModel:
    """Scores with a model that is in memory."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, config: RewardScoring) -> None:
        limits = [limit for limit in (config.max_length, positions(model.config)) if limit is not None]
        self._model, self._reader = model, ConversationReader(tokenizer)
        self._pad = with_padding(tokenizer, model)
        self._limit, self._room = min(limits, default=None), config.batch_tokens
        self._even = even_up_to(model.config)

    def rewards(
        self,
        conversations: Sequence[Conversation],
        progress: Progress,
        journal: Journal | None = None,
        identity: str = "",
    ) -> list[Reward]:
        """The reward of each conversation, in their order.

        Of one that is too long for the model the end is read, where the reply is. One that the chat template refuses,
        or whose reward is no number, has none. What the journal holds under `identity`, which names model and
        settings, is not computed again; what is computed is added to it.
        """
        # By key, as batches go by length, what the journal knows comes first, and some replies come twice: after a kill
        # the same batches are left, whose scores depend, in their last digits, on what they are padded to.
        found: dict[str, Reward] = {}
        read: dict[str, list[int]] = {}
        keys = [digest([identity, [dict(turn) for turn in talk.prompt], talk.reply]) for talk in conversations]
        for key, (prompt, reply) in zip(keys, conversations, strict=True):
            if key in found or key in read:
                continue
            known = journal.get(key) if journal is not None and key in journal else None
            if known is not None:
                found[key] = Reward(**known)
                continue
            try:
                read[key] = self._reader.ids(prompt, reply)
            except EngineError:
                found[key] = Reward(None, None, cut=False, missing=REFUSED)
        progress.start("score", len(found) + len(read), "replies", done=len(found))
        for batch in self._batches(read):
            scores = self._forward([self._end(read[key]) for key in batch])
            scored = {key: self._reward(score, read[key]) for key, score in zip(batch, scores, strict=True)}
            found |= scored
            if journal is not None:
                journal.extend({key: reward._asdict() for key, reward in scored.items()})
            progress.advance(len(batch), sum(len(self._end(read[key])) for key in batch))
        progress.finish()
        return [found[key] for key in keys]

    def _reward(self, score: float, ids: list[int]) -> Reward:
        # A journal is JSON, which has no NaN, and a comparison with NaN is a loss nobody sees.
        sound = isfinite(score)
        cut = self._limit is not None and len(ids) > self._limit
        return Reward(score if sound else None, len(ids), cut, None if sound else "no_number")

    def _end(self, ids: list[int]) -> list[int]:
        return ids if self._limit is None else ids[-self._limit :]

    def _batches(self, read: dict[str, list[int]]) -> list[list[str]]:
        """Keys of conversations, the longest first, so that what is too large shows at once.

        One so long that its positions would turn those of others has a batch of its own.
        """
        keys = sorted(read, key=lambda one: -len(read[one]))
        lengths = [len(self._end(read[key])) for key in keys]
        uneven = 0 if self._even is None else sum(length > self._even for length in lengths)
        rest = buckets(lengths[uneven:], self._room, padded=True)
        return [[key] for key in keys[:uneven]] + [[keys[uneven + place] for place in batch] for batch in rest]

    @torch.no_grad()
    def _forward(self, rows: Sequence[list[int]]) -> list[float]:
        # Padded behind, since the model reads its reward at the last token that is no padding.
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self._pad)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        device = self._model.device
        logits = self._model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
        # To the CPU as a whole: each number by itself would wait for the GPU once more.
        return [float(value) for value in logits.squeeze(-1).float().cpu()]
