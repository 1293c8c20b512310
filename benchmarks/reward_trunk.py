"""A reward model of which all but the last block is frozen, so that a training takes seconds.

A reward is read at the last token. Of the last block that token alone needs a query and a feed-forward; the others need
keys and values only. What goes into that block is computed once for every text (`Trunk.states`), and `Top` computes the
rest exactly as transformers does.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from factory.identity import digest
from factory.models.load import load_reward_model, load_tokenizer
from factory.models.ref import ModelRef
from factory.reward.tokens import ConversationReader, with_padding

ROOM = 4096
"""Tokens, padding included, in one forward pass of the trunk."""


class States(NamedTuple):
    """What goes into the last block, for all tokens of some texts."""

    flat: Tensor
    """[tokens, hidden], bfloat16."""
    bounds: list[tuple[int, int]]
    """Of each text, where it begins and ends in `flat`."""

    def pairs(self) -> "list[PairStates]":
        """Of each pair the states of both sides."""
        rows = [self.flat[slice(*bound)] for bound in self.bounds]
        half = len(rows) // 2
        return [PairStates(*both) for both in zip(rows[:half], rows[half:], strict=True)]


class PairStates(NamedTuple):
    """The states of the two sides of a pair, each [tokens, hidden]."""

    chosen: Tensor
    rejected: Tensor


def batch(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """[texts, longest, hidden] in float32, right-padded with zeros, and the lengths."""
    padded = nn.utils.rnn.pad_sequence([row.float() for row in rows], batch_first=True)
    return padded, torch.tensor([len(row) for row in rows])


class Top(nn.Module):
    """The last block, the final norm and a head with one output: what is trained."""

    def __init__(self, model: Any, seed: int) -> None:
        super().__init__()
        self.block = deepcopy(model.model.layers[-1]).float()
        self.norm = deepcopy(model.model.norm).float()
        self.rotary = deepcopy(model.model.rotary_emb)
        self.score = nn.Linear(model.config.hidden_size, 1, bias=False)
        drawn = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.score.weight, std=model.config.initializer_range, generator=drawn)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Rewards [texts] of `states` [texts, longest, hidden]."""
        attention = self.block.self_attn
        rows, longest, _ = states.shape
        shape = (rows, -1, attention.head_dim)
        here = torch.arange(rows)
        normed = self.block.input_layernorm(states)
        key, value = (
            part(normed).view(rows, longest, -1, attention.head_dim).transpose(1, 2)
            for part in (attention.k_proj, attention.v_proj)
        )
        query = attention.q_proj(normed[here, lengths - 1]).view(shape).unsqueeze(2)
        cos, sin = self.rotary(states, torch.arange(longest).unsqueeze(0))
        key = apply_rotary_pos_emb(key, key, cos, sin)[0]
        query = apply_rotary_pos_emb(query, query, cos[0, lengths - 1, None], sin[0, lengths - 1, None])[0]
        seen = (torch.arange(longest) < lengths[:, None])[:, None, None]
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, seen, enable_gqa=True)
        last = states[here, lengths - 1] + attention.o_proj(mixed.reshape(rows, -1))
        last = last + self.block.mlp(self.block.post_attention_layernorm(last))
        rewards: Tensor = self.score(self.norm(last)).squeeze(-1)
        return rewards


class Trunk:
    """The frozen part, and the states that it made of tables of pairs."""

    def __init__(self, name: str, limit: int, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        self._ref, self._limit, self._folder, self._dtype = ModelRef(name), limit, folder, dtype
        self._model: Any = None
        tokenizer = load_tokenizer(self._ref)
        self._reader, self._tokenizer = ConversationReader(tokenizer), tokenizer

    @property
    def model(self) -> Any:
        """The whole model, loaded when it is first needed."""
        if self._model is None:
            torch.manual_seed(0)
            self._model = load_reward_model(self._ref, "cpu", self._dtype, new_head=True)
            with_padding(self._tokenizer, self._model)
        return self._model

    def fitting(self, pairs: pl.DataFrame, limit: int) -> pl.DataFrame:
        """The pairs of which neither side is longer than `limit` tokens."""
        kept = {pair.pair_id for pair in self._reader.pairs(pairs, limit).pairs}
        return pairs.filter(pl.col("pair_id").is_in(list(kept)))

    def states(self, pairs: pl.DataFrame, name: str) -> States:
        """The states of all chosen replies and then all rejected ones; of a longer text its end."""
        rows = pairs.select("pair_id", "prompt", "chosen", "rejected").to_dicts()
        ids = [self._reader.ids(row["prompt"], row[side])[-self._limit :]
               for side in ("chosen", "rejected") for row in rows]  # fmt: skip
        place = self._folder / f"{name}-{digest([self._ref.identity, str(self._dtype), ids])[:16]}.pt"
        bounds, end = [], 0
        for one in ids:
            bounds.append((end, end + len(one)))
            end += len(one)
        if not place.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            flat = torch.empty(end, self.model.config.hidden_size, dtype=self._dtype)
            for numbers in _batches(ids):
                for number, made in zip(numbers, self._forward([ids[n] for n in numbers]), strict=True):
                    flat[slice(*bounds[number])] = made
            torch.save(flat, place.with_suffix(".draft"))
            place.with_suffix(".draft").rename(place)
        return States(torch.load(place, mmap=True), bounds)

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


def _batches(ids: Sequence[list[int]]) -> Iterator[list[int]]:
    """Numbers of texts of like length."""
    batch: list[int] = []
    for number in sorted(range(len(ids)), key=lambda n: -len(ids[n])):
        if batch and (len(batch) + 1) * len(ids[batch[0]]) > ROOM:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
