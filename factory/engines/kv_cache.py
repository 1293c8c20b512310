"""Keys and values of the rows that are being generated: rows join and leave while the others go on."""

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from factory.engines.batch_invariant import CHUNK, KERNEL, Span, aligned_attention
from factory.models.attention import positions
from factory.models.shared_prompt import attention

COLUMNS = 64
"""The width of a cache is a multiple of this."""


class Pass:
    """A model's forward pass under the argument names of its version and kind."""

    def __init__(self, model: Any) -> None:
        # Passing an argument that a model's version does not know is an error, and leaving logits_to_keep out computes
        # the vocabulary for every prompt token.
        parameters = inspect.signature(type(model).forward).parameters
        self._model = model
        self._cache = "cache" if "cache" in parameters else "past_key_values"
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def __call__(self, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Any, **more: Any) -> Any:
        """Logits [rows, vocabulary] after the last column."""
        options = {self._cache: cache, **self._last_only, **more}
        out = self._model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, **options)
        return out.logits[:, -1]


class _InPlaceLayer(DynamicLayer):
    """One layer's part of the cache; written in place, where the usual cache would copy everything each step."""

    def __init__(self, owner: "InPlaceKVCache") -> None:
        super().__init__()
        self.owner = owner
        self.k = self.v = torch.empty(0)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write each row's newest column, and give all columns."""
        places, at = self.owner.places, self.owner.lengths[self.owner.places]
        # Written into one buffer: concatenating, as DynamicLayer does, copies all that is held at every token.
        self.k[places, :, at] = key_states[:, :, 0]
        self.v[places, :, at] = value_states[:, :, 0]
        # Views, no copies; `expand` repeats a single row for the second line of its pass.
        window = slice(self.owner.rows), slice(None), slice(self.owner.window)
        return self.k[window].expand(len(places), -1, -1, -1), self.v[window].expand(len(places), -1, -1, -1)

    def get_seq_length(self) -> int:
        """Columns before the one being written."""
        return self.owner.window - 1


class InPlaceKVCache:
    """One buffer per layer, [rows, heads, columns, size]. Every row begins at column 0; what is behind it is masked.

    A single row is run twice, side by side: the product of one row alone is computed in another order, and would give
    other bits than the same row among others.
    """

    can_join = True
    can_share = True

    def __init__(self, model: Any, pad: int) -> None:
        self.model, self.pad, self.run = model, pad, Pass(model)
        self.layers = [_InPlaceLayer(self) for _ in range(model.config.get_text_config().num_hidden_layers)]
        self.cache: Any = Cache(layers=self.layers)
        self.lengths = torch.zeros(0, dtype=torch.long, device=model.device)
        """Tokens each row holds, [rows]."""
        # The same on the host: to ask a GPU for a length is to wait until all that it was given is done.
        self._held: list[int] = []
        self.capacity = (0, 0)
        self.places = torch.zeros(0, dtype=torch.long, device=model.device)
        """The row that each line of a pass belongs to."""
        self.window = 0
        self.limit = positions(model.config)
        self._prefix: tuple[list[int], Any] = ([], None)

    @property
    def rows(self) -> int:
        """Rows in flight."""
        return len(self._held)

    @property
    def width(self) -> int:
        """Columns the longest row takes, its last token included."""
        return max(self._held) + 1 if self._held else 0

    def attention(self) -> AbstractContextManager[None]:
        """The attention that fits the layout."""
        return attention(self.model, KERNEL, aligned_attention)

    @torch.inference_mode()
    def start(self, rows: Sequence[list[int]], shared: int) -> None:
        """Compute the keys and values of the rows' tokens but the last, and copy them in."""
        # To whole chunks: a tail that began inside one would be cut elsewhere than in the same prompt alone, and round
        # otherwise.
        shared = shared // CHUNK * CHUNK
        cache = self._begin(rows[0][:shared], len(rows))
        # Without the last token, which is the first that `step` feeds in; its logits are what the first new token comes
        # from.
        tails = [ids[shared:-1] for ids in rows]
        if any(tails):
            self._prefill(tails, shared, cache)
        lengths = [len(ids) - 1 for ids in rows]
        width = cache.get_seq_length()
        self._reserve(self.rows + len(rows), max(width, self.width), cache)
        place = slice(self.rows, self.rows + len(rows)), slice(None), slice(width)
        for layer, source in zip(self.layers, cache.layers, strict=True):
            layer.k[place], layer.v[place] = source.keys, source.values
        self._held += lengths
        self.lengths = torch.tensor(self._held, device=self.lengths.device)

    @torch.inference_mode()
    def step(self, last: Sequence[int]) -> Tensor:
        """One pass for all rows; each writes at its own end."""
        self._reserve(self.rows, self.width, None)
        # A width that grows in steps: kernels are picked by shape, so that neighbours of like length must share one.
        self.window = _up(self.width, COLUMNS)
        # Two lines at least: the product of a single row goes through another kernel, which rounds otherwise.
        self.places = torch.arange(max(self.rows, 2), device=self.lengths.device) % self.rows
        ids = torch.tensor(last, device=self.lengths.device)[self.places, None]
        at = self.lengths[self.places, None]
        mask = torch.arange(self.window, device=self.lengths.device) <= at
        logits = self.run(ids, mask[:, None, None], at, self.cache, spans=self._spans())[: self.rows]
        self.lengths, self._held = self.lengths + 1, [length + 1 for length in self._held]
        return cast(Tensor, logits)

    @torch.inference_mode()
    def remove(self, gone: Sequence[int]) -> list[int]:
        """Fill each gap with the last row, so that little is copied."""
        # Up to the longest row only: the columns behind it hold nothing, and copying them costs as much.
        order, window = list(range(self.rows)), slice(self.width)
        # From behind, so that the last place is never one of those that go.
        for row in sorted(gone, reverse=True):
            last = order.pop()
            if row < len(order):
                order[row] = last
        moved = [(new, old) for new, old in enumerate(order) if new != old]
        if moved:
            new, old = (torch.tensor(side, device=self.lengths.device) for side in zip(*moved, strict=True))
            for layer in self.layers:
                layer.k[new, :, window] = layer.k[old, :, window]
                layer.v[new, :, window] = layer.v[old, :, window]
        # Not cut off: what lies behind the last row is masked, and written over by the next one that joins.
        self.lengths, self._held = self.lengths[order], [self._held[row] for row in order]
        return order

    def _spans(self) -> list[Span]:
        """On a CPU, runs of rows whose lengths round to the same width: a row's width must not depend on the others."""
        # A GPU does all rows in one kernel; several calls would cost more than the columns they save.
        if self.lengths.device.type != "cpu":
            return []
        spans, start = [], 0
        widths = (_up(length + 1, COLUMNS) for length in self.lengths[self.places].tolist())
        for width, run in groupby(widths):
            stop = start + len(list(run))
            spans.append(Span(slice(start, stop), width))
            start = stop
        return spans

    def _begin(self, prefix: list[int], rows: int) -> Any:
        """A cache that holds `prefix` for `rows` rows; the last prefix is kept, as its rows come in several groups."""
        cache = DynamicCache(config=self.model.config)
        if not prefix:
            return cache
        if self._prefix[0] != prefix:
            alone = DynamicCache(config=self.model.config)
            self._prefill([prefix], 0, alone)
            # Kept: the queue has rows with one beginning next to one another, and they start in several groups.
            self._prefix = (prefix, alone)
        for place, layer in enumerate(self._prefix[1].layers):
            keys, values = (part.expand(rows, -1, -1, -1) for part in (layer.keys, layer.values))
            cache.update(keys, values, place)
        return cache

    def _prefill(self, tails: Sequence[list[int]], before: int, cache: Any) -> None:
        """Run `tails`, padded behind to whole chunks, as the positions from `before` on."""
        width = _up(max(map(len, tails)), CHUNK)
        ids = torch.tensor([tail + [self.pad] * (width - len(tail)) for tail in tails], device=self.lengths.device)
        positions = torch.arange(before, before + width, device=self.lengths.device)
        if self.limit is not None:
            positions = positions.clamp(max=self.limit - 1)  # padding may lie beyond the last position there is
        self.run(ids, None, positions.expand(len(tails), -1), cache)

    def _reserve(self, rows: int, columns: int, like: Any) -> None:
        """Make sure that the buffers have so many rows and columns; they start from a cache `like` theirs."""
        have = self.capacity
        if rows <= have[0] and columns <= have[1]:
            return
        # Some to spare, so that rows that join one by one do not copy all buffers each time.
        spare = rows + rows // 8 if have[0] else rows
        self.capacity = (max(have[0], spare), _up(max(have[1], columns + columns // 4), COLUMNS))
        used = slice(self.rows), slice(None), slice(have[1])
        for place, layer in enumerate(self.layers):
            source = (layer.k, layer.v) if have[0] else (like.layers[place].keys, like.layers[place].values)
            # Zero, because what is masked must still be finite.
            buffers = [
                part.new_zeros(self.capacity[0], part.shape[1], self.capacity[1], part.shape[3]) for part in source
            ]
            if have[0]:
                for buffer, part in zip(buffers, source, strict=True):
                    buffer[used] = part[used]
            layer.k, layer.v = buffers


class ModelKVCache:
    """The model's own cache, for layers with windows or states: rows leave, but join only when none is left."""

    can_share = False

    def __init__(self, model: Any, pad: int) -> None:
        self.model, self.pad, self.run = model, pad, Pass(model)
        self.cache: Any = None
        self.mask = torch.zeros(0, 0, dtype=torch.bool, device=model.device)
        """[rows, columns]: which columns are tokens, not padding in front."""

    @property
    def rows(self) -> int:
        """Rows in flight."""
        return self.mask.shape[0]

    @property
    def width(self) -> int:
        """Columns in use, the last token's included."""
        return self.mask.shape[1] + 1 if self.rows else 0

    @property
    def can_join(self) -> bool:
        """Only when empty."""
        return not self.rows

    def attention(self) -> AbstractContextManager[None]:
        """The model's own."""
        return nullcontext()

    @torch.inference_mode()
    def start(self, rows: Sequence[list[int]], shared: int) -> None:
        """Run the rows' tokens but the last, padded in front."""
        width, device = max(map(len, rows)) - 1, self.mask.device
        # Padded in front, as the model's own cache writes every row's next token into the same column.
        ids = torch.tensor([[self.pad] * (width + 1 - len(row)) + row[:-1] for row in rows], device=device)
        gaps = torch.tensor([width + 1 - len(row) for row in rows], device=device)
        self.mask = torch.arange(width, device=device) >= gaps[:, None]
        self.cache = DynamicCache(config=self.model.config)
        # Positions are counted from the first real token: padding that moved them would change what rotary embeddings
        # see.
        self.run(ids, self.mask, (self.mask.long().cumsum(1) - 1).clamp(min=0), self.cache)

    @torch.inference_mode()
    def step(self, last: Sequence[int]) -> Tensor:
        """One pass for all rows."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(self.rows, 1)], dim=1)
        ids = torch.tensor(last, device=self.mask.device)[:, None]
        logits: Tensor = self.run(ids, self.mask, self.mask.long().sum(1, keepdim=True) - 1, self.cache)
        return logits

    @torch.inference_mode()
    def remove(self, gone: Sequence[int]) -> list[int]:
        """Select the rows that stay."""
        order = [row for row in range(self.rows) if row not in set(gone)]
        index = torch.tensor(order, dtype=torch.long, device=self.mask.device)
        self.cache.reorder_cache(index)
        self.mask = self.mask[index]
        return order


KVCache = InPlaceKVCache | ModelKVCache
"""Memory of the rows that are being generated, each without its last token; alike to whoever decodes."""


def kv_cache_for(model: Any, pad: int) -> KVCache:
    """A cache of ours where every layer attends to all tokens through torch's attention; else the model's own cache."""
    # Asked of transformers itself, layer by layer: a sliding window or a state space model shows in the layers' types,
    # whatever the model is called.
    layers = DynamicCache(config=model.config).layers
    # The exact type: windows are subclasses of it, and would be taken for layers that see everything.
    plain = all(type(layer) is DynamicLayer for layer in layers)
    if plain and model.config._attn_implementation == "sdpa" and model._can_set_attn_implementation():
        return InPlaceKVCache(model, pad)
    return ModelKVCache(model, pad)


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
