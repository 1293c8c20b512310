"""Conversations as the tokens that a reward model reads."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl
from transformers import PreTrainedTokenizerBase

from factory.errors import EngineError, InputError
from factory.identity import Messages
from factory.models.chat import conversation_ids, knows_system, template_part

TOO_LONG, REFUSED, ALIKE, UNLABELLED = "too_long", "refused_by_template", "same_tokens", "no_label"


class PairTokens(NamedTuple):
    """A pair as token ids."""

    pair_id: str
    chosen: list[int]
    rejected: list[int]
    margin: float = 0.0
    """By how much chosen is to win."""
    p_chosen: float = 1.0
    """How probable it is that chosen is the better one."""

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


class Labels(NamedTuple):
    """Columns that say more of a pair than which reply is chosen, where they are to be used."""

    margin: str | None = None
    soft: str | None = None

    def read(self, table: pl.DataFrame) -> pl.DataFrame:
        """pair_id, prompt and replies, with margin and p_chosen as numbers; null where the column has none.

        Raises InputError when there is no such column, it holds no numbers, or a number that is none of its kind.
        """
        labels = {
            "margin": _number(table, self.margin, pl.lit(0.0), -math.inf, math.inf),
            "p_chosen": _number(table, self.soft, pl.lit(1.0), 0.0, 1.0),
        }
        return table.select("pair_id", "prompt", "chosen", "rejected", **labels)


NO_LABELS = Labels()


def _number(table: pl.DataFrame, name: str | None, default: pl.Expr, low: float, high: float) -> pl.Expr:
    if name is None:
        return default
    if name not in table.columns:
        raise InputError(f"the pairs have no column {name}; their columns are {', '.join(table.columns)}")
    if not table[name].dtype.is_numeric():
        raise InputError(f"the column {name} is {table[name].dtype} and must hold numbers")
    values = table[name].cast(pl.Float64)
    # A label that is not there is not wrong: its pair is dropped, and counted.
    wrong = table["pair_id"].filter(
        (values.is_nan() | values.is_infinite() | ~values.is_between(low, high)).fill_null(False)
    )
    if len(wrong):
        bounds = "a finite number" if math.isinf(low) else f"between {low:g} and {high:g}"
        raise InputError(f"the column {name} must be {bounds}, and is not for the pair {wrong[0]}")
    return pl.lit(values)


class ConversationReader:
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

    def pairs(self, table: pl.DataFrame, limit: int | None, labels: Labels = NO_LABELS) -> EncodedPairs:
        """The pairs of a PAIRS table. Those with a side of more than `limit` tokens are dropped: nothing is cut.

        Dropped are also those without a number in a column that `labels` names.
        """
        kept, dropped, stripped = [], Counter[str](), 0
        for row in labels.read(table).iter_rows(named=True):
            if row["margin"] is None or row["p_chosen"] is None:
                dropped[UNLABELLED] += 1
                continue
            try:
                chosen, rejected = (self.ids(row["prompt"], row[side]) for side in ("chosen", "rejected"))
            except EngineError:
                dropped[REFUSED] += 1
                continue
            pair = PairTokens(row["pair_id"], chosen, rejected, row["margin"], row["p_chosen"])
            if limit is not None and pair.length > limit:
                dropped[TOO_LONG] += 1
            elif pair.chosen == pair.rejected:
                dropped[ALIKE] += 1
            else:
                kept.append(pair)
                replies = (row["chosen"], row["rejected"])
                stripped += sum(template_part(self._tokenizer, reply) not in (reply, None) for reply in replies)
        return EncodedPairs(kept, dict(sorted(dropped.items())), stripped)


def with_padding(tokenizer: PreTrainedTokenizerBase, model: Any) -> int:
    """Give tokenizer and model the same padding token, the end-of-text token where they share none; returns its id.

    A sequence-classification model finds the last token that is not this one, and reads the reward there.
    """
    own = tokenizer.pad_token_id
    # One that was added to the tokenizer alone has no embedding.
    if own is None or own >= model.get_input_embeddings().weight.shape[0]:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise EngineError(f"the tokenizer of {tokenizer.name_or_path} has neither a padding nor an end-of-text token")
    # Where both differ, it would take the reward at a padding token.
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return int(tokenizer.pad_token_id)
