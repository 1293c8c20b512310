"""A reward model of which all weights are trained, on any device: what reward_trunk.py is for the last block alone."""

import gc
from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from benchmarks.reward_trunk import ROOM, PairStates, Tokens, batches, new_head
from factory.models.load import load_reward_model
from factory.models.ref import ModelRef
from factory.reward.tokens import with_padding


class Whole(nn.Module):
    """The model and a head with one output. Weights are float32; on CUDA the blocks compute in bfloat16."""

    def __init__(self, model: Any, seed: int) -> None:
        super().__init__()
        self.body, self.score = with_fused_norms(deepcopy(model.model)), new_head(model, seed).to(model.device)

    def forward(self, texts: Sequence[Tensor]) -> Tensor:
        """Rewards [texts]. Causal, so that padding on the right changes nothing."""
        device, ends, order = self.score.weight.device, list[Tensor](), list[int]()
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            for numbers in batches(texts, ROOM):
                ids = pad_sequence([texts[number] for number in numbers], batch_first=True)
                last = torch.tensor([len(texts[number]) - 1 for number in numbers], device=device)
                states = self.body(input_ids=ids, use_cache=False).last_hidden_state
                ends.append(states[torch.arange(len(ids), device=device), last].float())
                order += numbers
        rewards: Tensor = self.score(torch.cat(ends)).squeeze(-1)
        return rewards[torch.tensor(order, device=device).argsort()]


def with_fused_norms(body: nn.Module) -> nn.Module:
    """The same weights and results, with torch's norm: Llama's own takes a kernel for each operation in it."""
    for name, module in list(body.named_modules()):
        if isinstance(module, LlamaRMSNorm):
            norm = nn.RMSNorm(len(module.weight), module.variance_epsilon)
            norm.weight = module.weight
            body.set_submodule(name, norm)
    return body


class FullModel:
    """The weights every training begins with, and what it reads of tables of pairs."""

    def __init__(self, name: str, limit: int, device: str) -> None:
        self._ref, self._device, self._tokens = ModelRef(name), device, Tokens(name, limit)
        self.fitting = self._tokens.fitting

    @cached_property
    def model(self) -> Any:
        """The whole model, loaded when it is first needed."""
        torch.manual_seed(0)
        model = load_reward_model(self._ref, self._device, torch.float32, new_head=True)
        with_padding(self._tokens.tokenizer, model)
        return model

    def pairs(self, table: pl.DataFrame, name: str) -> list[PairStates]:
        """The token ids of every pair of `table`, on the device."""
        rows = self._tokens.ids(table)
        flat = torch.tensor([one for row in rows for one in row]).to(self._device)
        ids = flat.split([len(row) for row in rows])
        return [PairStates(*both) for both in zip(ids[: table.height], ids[table.height :], strict=True)]

    def top(self, seed: int) -> Whole:
        """What is trained: all of it."""
        gc.collect()  # an optimiser and its schedule hold each other, and with them the weights of the training before
        return Whole(self.model, seed)

    def save(self, top: Whole, folder: Path) -> None:
        """The trained model as a folder that `pairs.by` and `reward score` load."""
        self.model.model.load_state_dict(top.body.state_dict())
        self.model.score.load_state_dict(top.score.state_dict())
        self.model.save_pretrained(folder)
        self._tokens.tokenizer.save_pretrained(folder)
