"""Conversations as the tokens that a reward model reads."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl
from transformers import PreTrainedTokenizerBase

from factory.errors import EngineError
from factory.identity import Messages
from factory.models.chat import conversation_ids, knows_system, template_part

TOO_LONG, REFUSED, ALIKE = "too_long", "refused_by_template", "same_tokens"


class PairTokens(NamedTuple):
    """A pair as token ids."""

    pair_id: str
    chosen: list[int]
    rejected: list[int]

    @property
    def length(self) -> int:
        """Tokens of the longer side."""
        return max(len(self.chosen), len(self.rejected))


class EncodedPairs(NamedTuple):
    """Pairs that can be read, and how many cannot, by reason."""

    pairs: list[PairTokens]
    dropped: dict[str, int]
    stripped: int
    """Replies among them that are read without the reasoning in them, since the chat template strips it."""


class Reader:
    """Renders conversations by the chat template; special tokens in a content are text.

    A system message goes into the first user turn where the template has no role for it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._fold = not knows_system(tokenizer)

    def ids(self, prompt: Messages, reply: str) -> list[int]:
        """Token ids of the whole conversation. EngineError when the template refuses it."""
        turns: list[Mapping[str, str]] = [*prompt, {"role": "assistant", "content": reply}]
        return conversation_ids(self._tokenizer, turns, self._fold)

    def pairs(self, table: pl.DataFrame, limit: int | None) -> EncodedPairs:
        """The pairs of a PAIRS table. Those with a side of more than `limit` tokens are dropped: nothing is cut."""
        kept, dropped, stripped = [], Counter[str](), 0
        for row in table.select("pair_id", "prompt", "chosen", "rejected").iter_rows(named=True):
            try:
                sides = [self.ids(row["prompt"], row[side]) for side in ("chosen", "rejected")]
            except EngineError:
                dropped[REFUSED] += 1
                continue
            pair = PairTokens(row["pair_id"], *sides)
            if limit is not None and pair.length > limit:
                dropped[TOO_LONG] += 1
            elif pair.chosen == pair.rejected:
                dropped[ALIKE] += 1
            else:
                kept.append(pair)
                stripped += sum(self._strips(row[side]) for side in ("chosen", "rejected"))
        return EncodedPairs(kept, dict(sorted(dropped.items())), stripped)

    def _strips(self, reply: str) -> bool:
        return template_part(self._tokenizer, reply) not in (reply, None)


def with_padding(tokenizer: PreTrainedTokenizerBase, model: Any) -> int:
    """Give tokenizer and model the same padding token, the end-of-text token where there is none; returns its id.

    A sequence-classification model finds the last token that is not this one, and reads the reward there.
    """
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise EngineError(f"the tokenizer of {tokenizer.name_or_path} has neither a padding nor an end-of-text token")
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return int(tokenizer.pad_token_id)
