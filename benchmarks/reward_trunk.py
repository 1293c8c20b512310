"""A reward model of which all but the last block is frozen, so that a training takes seconds.

A reward is read at the last token. Of the last block that token alone needs a query and a feed-forward; the others need
keys and values only. What goes into that block is computed once for every text (`Trunk.pairs`), and `Top` computes the
rest exactly as transformers does.
"""

from collections.abc import Iterator, Mapping, Sequence, Sized
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from factory.identity import digest
from factory.models.load import load_reward_model, load_tokenizer
from factory.models.ref import ModelRef
from factory.reward.tokens import ConversationReader, PairTokens, with_padding

ROOM = 4096
"""Tokens, padding included, in one forward pass of the trunk."""


@dataclass(frozen=True)
class Text:
    """What the last block needs of a text."""

    normed: Tensor
    """[tokens, hidden]: its input over the root of its mean square, the weights of the norm left out."""
    last: Tensor
    """[hidden]: its input at the last token."""

    def __len__(self) -> int:
        return len(self.normed)


class PairStates(NamedTuple):
    """The two sides of a pair: Text, or token ids where all weights are trained."""

    chosen: Sized
    rejected: Sized


def new_head(model: Any, seed: int) -> nn.Linear:
    """A head with one output, on the CPU: the same of a seed whatever is trained with it."""
    score = nn.Linear(model.config.hidden_size, 1, bias=False)
    drawn = torch.Generator().manual_seed(seed)
    nn.init.normal_(score.weight, std=model.config.initializer_range, generator=drawn)
    return score


class Top(nn.Module):
    """The last block, the final norm and a head with one output: what is trained."""

    def __init__(self, model: Any, seed: int) -> None:
        super().__init__()
        self.block = deepcopy(model.model.layers[-1]).float()
        self.norm = deepcopy(model.model.norm).float()
        self.rotary = deepcopy(model.model.rotary_emb)
        self.score = new_head(model, seed)

    def forward(self, texts: Sequence[Text]) -> Tensor:
        """Rewards [texts]."""
        attention, size = self.block.self_attn, self.block.self_attn.head_dim
        lengths = torch.tensor([len(text) for text in texts])
        rows, longest = len(texts), int(lengths.max())
        flat, weight = torch.cat([text.normed for text in texts]), self.block.input_layernorm.weight
        both = torch.cat([attention.k_proj.weight, attention.v_proj.weight]) * weight
        seen = torch.arange(longest) < lengths[:, None]
        begin = (lengths.cumsum(0) - lengths)[:, None]
        place = (begin + torch.arange(longest)).where(seen, begin).flatten()  # padding is any token: it is not seen
        mixed = (flat @ both.to(flat.dtype).T).float().index_select(0, place).view(rows, longest, -1, size)
        key, value = mixed.transpose(1, 2).chunk(2, dim=1)
        ends = torch.stack([text.normed[-1] for text in texts]).float() * weight
        query = attention.q_proj(ends).view(rows, -1, 1, size)
        cos, sin = self.rotary(ends, torch.arange(longest).unsqueeze(0))
        key = apply_rotary_pos_emb(key, key, cos, sin)[0]
        query = apply_rotary_pos_emb(query, query, cos[0, lengths - 1, None], sin[0, lengths - 1, None])[0]
        found = nn.functional.scaled_dot_product_attention(query, key, value, seen[:, None, None], enable_gqa=True)
        last = torch.stack([text.last for text in texts]) + attention.o_proj(found.reshape(rows, -1))
        last = last + self.block.mlp(self.block.post_attention_layernorm(last))
        rewards: Tensor = self.score(self.norm(last)).squeeze(-1)
        return rewards


class Tokens:
    """Tables of pairs as the model's tokens."""

    def __init__(self, name: str, limit: int) -> None:
        self.tokenizer, self._limit = load_tokenizer(ModelRef(name)), limit
        self._reader = ConversationReader(self.tokenizer)
        self._known: dict[str, PairTokens] = {}

    def fitting(self, pairs: pl.DataFrame, limit: int) -> pl.DataFrame:
        """The pairs of which neither side is longer than `limit` tokens."""
        kept = {pair.pair_id: pair for pair in self._reader.pairs(pairs, limit).pairs}
        self._known |= kept
        return pairs.filter(pl.col("pair_id").is_in(list(kept)))

    def ids(self, table: pl.DataFrame) -> list[list[int]]:
        """Of every chosen side, then of every rejected one; of a text that is too long its end is read."""
        rows = table.select("pair_id", "prompt", "chosen", "rejected").to_dicts()
        return [self._side(row, side)[-self._limit :] for side in ("chosen", "rejected") for row in rows]

    def _side(self, row: Mapping[str, Any], side: str) -> list[int]:
        known = self._known.get(row["pair_id"])
        ids: list[int] = getattr(known, side) if known else self._reader.ids(row["prompt"], row[side])
        return ids


class Trunk:
    """The frozen part, and what it makes of tables of pairs."""

    def __init__(self, name: str, limit: int, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        self._ref, self._folder, self._dtype = ModelRef(name), folder, dtype
        self._tokens = Tokens(name, limit)
        self._model: Any = None
        self.fitting = self._tokens.fitting

    @property
    def model(self) -> Any:
        """The whole model, loaded when it is first needed."""
        if self._model is None:
            torch.manual_seed(0)
            self._model = load_reward_model(self._ref, "cpu", self._dtype, new_head=True)
            with_padding(self._tokens.tokenizer, self._model)
        return self._model

    def pairs(self, table: pl.DataFrame, name: str) -> list[PairStates]:
        """What the last block needs of every pair of `table`."""
        ids = self._tokens.ids(table)
        place = self._folder / f"{name}-{digest([self._ref.identity, str(self._dtype), ids])[:16]}.pt"
        if not place.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            torch.save(self._states(ids), place.with_suffix(".draft"))
            place.with_suffix(".draft").rename(place)
        eps = self.model.config.rms_norm_eps
        texts = []
        for one in torch.load(place).split([len(row) for row in ids]):
            scale = torch.rsqrt(one.float().pow(2).mean(-1, keepdim=True) + eps)
            texts.append(Text((one.float() * scale).to(self._dtype), one[-1].float()))
        return [PairStates(*both) for both in zip(texts[: table.height], texts[table.height :], strict=True)]

    def top(self, seed: int) -> Top:
        """What is trained of it."""
        return Top(self.model, seed)

    def save(self, top: Top, folder: Path) -> None:
        """The whole model with what was trained in it, as a folder that `pairs.by` and `reward score` load."""
        model, body = self.model.float(), self.model.model
        for part, trained in ((body.layers[-1], top.block), (body.norm, top.norm), (model.score, top.score)):
            part.load_state_dict(trained.state_dict())
        model.save_pretrained(folder)
        self._tokens.tokenizer.save_pretrained(folder)

    def _states(self, ids: Sequence[list[int]]) -> Tensor:
        """What goes into the last block: [tokens of all texts, hidden]."""
        ends = [sum(map(len, ids[:number])) for number in range(len(ids) + 1)]
        flat = torch.empty(ends[-1], self.model.config.hidden_size, dtype=self._dtype)
        for numbers in batches(ids, ROOM):
            for number, made in zip(numbers, self._forward([ids[n] for n in numbers]), strict=True):
                flat[ends[number] : ends[number + 1]] = made
        return flat

    @torch.no_grad()
    def _forward(self, rows: Sequence[list[int]]) -> list[Tensor]:
        """The input of the last block: causal, so that padding on the right changes nothing."""
        width = max(map(len, rows))
        ids = torch.tensor([row + row[-1:] * (width - len(row)) for row in rows])
        body = self.model.model
        last, norm = body.layers[-1], body.norm
        body.layers, body.norm = body.layers[:-1], nn.Identity()
        try:
            made = body(input_ids=ids, use_cache=False).last_hidden_state
        finally:
            body.layers, body.norm = nn.ModuleList([*body.layers, last]), norm
        return [made[place, : len(row)] for place, row in enumerate(rows)]


def batches(texts: Sequence[Sized], room: int) -> Iterator[list[int]]:
    """Numbers of texts of like length, the longest first, of which a batch has `room` tokens with its padding."""
    batch: list[int] = []
    for number in sorted(range(len(texts)), key=lambda n: -len(texts[n])):
        if batch and (len(batch) + 1) * len(texts[batch[0]]) > room:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
