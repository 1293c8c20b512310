"""Keys and values of the rows that are being generated: rows join and leave while the others go on."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

ROOM = 64
"""Columns a slab grows by."""


class Held(Protocol):
    """What the decoder needs of the memory of its rows. All rows end at the same column."""

    rows: int
    cache: Any
    can_share: bool
    """Whether rows may start from one computation of their common beginning."""

    @property
    def width(self) -> int:
        """Columns from the longest row's beginning to the common end."""

    @property
    def can_join(self) -> bool:
        """Whether rows can join now."""

    def join(self, cache: Any, mask: Tensor, members: Sequence[int]) -> None:
        """Add the rows `members` of a prefilled `cache`; `mask` [m, w]: which columns of all its rows are tokens."""

    def step(self) -> Tensor:
        """Open one more column; the attention mask [rows, width + 1] for the tokens to be written there."""

    def leave(self, gone: Sequence[int]) -> list[int]:
        """Drop rows; the old places of those that stay, in their new order."""


def held(model: Any) -> Held:
    """The memory for `model`: a slab where every layer attends to all columns, else the model's own cache."""
    layers = DynamicCache(config=model.config).layers
    count = model.config.get_text_config().num_hidden_layers
    plain = all(type(layer) is DynamicLayer for layer in layers)
    return Slab(count) if plain else OwnCache()


class _SlabLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's window into the slab; written in place, where the usual cache would copy everything each step."""

    def __init__(self, slab: "Slab") -> None:
        super().__init__()
        self.slab = slab
        self.k = self.v = torch.empty(0)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write the newest column and give the window up to it."""
        slab, end = self.slab, self.slab.end
        self.k[: slab.rows, :, end - 1 : end] = key_states
        self.v[: slab.rows, :, end - 1 : end] = value_states
        window = slice(slab.begin, end)
        return self.k[: slab.rows, :, window], self.v[: slab.rows, :, window]

    def get_seq_length(self) -> int:
        """Columns before the one being written."""
        return self.slab.width - 1


class Slab:
    """One buffer per layer, [rows, heads, columns, size]; every row ends at column `end` and begins where it begins.

    Columns before a row's beginning are masked; what other rows left there is finite, so it weighs nothing.
    """

    can_share = True

    def __init__(self, layers: int) -> None:
        self.layers = [_SlabLayer(self) for _ in range(layers)]
        self.cache: Any = Cache(layers=self.layers)
        self.rows = self.end = 0
        self.starts: list[int] = []
        self.mask = torch.zeros(0, 0, dtype=torch.bool)

    @property
    def begin(self) -> int:
        """First column that any row uses."""
        return min(self.starts, default=self.end)

    @property
    def width(self) -> int:
        """Columns in use."""
        return self.end - self.begin

    @property
    def can_join(self) -> bool:
        """Always."""
        return True

    def join(self, cache: Any, mask: Tensor, members: Sequence[int]) -> None:
        """Copy the rows `members` of `cache` to the end of the slab."""
        count, width = len(members), mask.shape[1]
        rows = self.rows + count
        if rows > self.mask.shape[0] or width > self.end:
            spare = max(self.mask.shape[0], rows if not self.rows else rows + rows // 8)
            self._resize(spare, max(width, self.width), mask.device)
        chosen = torch.tensor(members, device=mask.device)
        place = slice(self.rows, rows), slice(self.end - width, self.end)
        for layer, source in zip(self.layers, cache.layers, strict=True):
            if not layer.k.numel():
                layer.k, layer.v = (_like(part, self.mask.shape) for part in (source.keys, source.values))
            layer.k[place[0], :, place[1]] = source.keys[chosen]
            layer.v[place[0], :, place[1]] = source.values[chosen]
        self.mask[place[0]] = False
        self.mask[place] = mask[chosen]
        first = mask[chosen].int().argmax(1).tolist()
        self.starts += [self.end - width + column for column in first]
        self.rows = rows

    def step(self) -> Tensor:
        """Open a column, in new buffers when the old ones are full."""
        if self.end == self.mask.shape[1]:
            self._resize(self.mask.shape[0], self.width, self.mask.device)
        self.end += 1
        self.mask[: self.rows, self.end - 1] = True
        return self.mask[: self.rows, self.begin : self.end]

    def leave(self, gone: Sequence[int]) -> list[int]:
        """Fill each gap with the last row, so that little is copied."""
        order = list(range(self.rows))
        for row in sorted(gone, reverse=True):
            last = order.pop()
            if row < len(order):
                order[row] = last
        moved = [(new, old) for new, old in enumerate(order) if new != old]
        if moved:
            new, old = (torch.tensor(side, device=self.mask.device) for side in zip(*moved, strict=True))
            window = slice(self.begin, self.end)
            for layer in self.layers:
                layer.k[new, :, window] = layer.k[old, :, window]
                layer.v[new, :, window] = layer.v[old, :, window]
            self.mask[new] = self.mask[old]
        self.starts = [self.starts[old] for old in order]
        self.rows = len(order)
        return order

    def _resize(self, rows: int, end: int, device: torch.device) -> None:
        """New buffers of `rows` rows whose used columns end at `end`, with room behind."""
        used, new = slice(self.begin, self.end), slice(end - self.width, end)
        shape, shift = (rows, end + ROOM), end - self.end
        for layer in self.layers:
            if layer.k.numel():
                layer.k, layer.v = (_moved(part, shape, self.rows, used, new) for part in (layer.k, layer.v))
        mask = torch.zeros(shape, dtype=torch.bool, device=device)
        mask[: self.rows, new] = self.mask[: self.rows, used].to(device)
        self.mask, self.end = mask, end
        self.starts = [start + shift for start in self.starts]


def _like(part: Tensor, shape: Sequence[int]) -> Tensor:
    """A zero buffer [rows, heads, columns, size]; zero, because what is masked must still be finite."""
    return part.new_zeros(shape[0], part.shape[1], shape[1], part.shape[3])


def _moved(part: Tensor, shape: tuple[int, int], rows: int, used: slice, new: slice) -> Tensor:
    buffer = _like(part, shape)
    buffer[:rows, :, new] = part[:rows, :, used]
    return buffer


class OwnCache:
    """The model's own cache, for layers with windows or states: rows leave, but join only when none is left."""

    can_share = False

    def __init__(self) -> None:
        self.cache: Any = None
        self.rows = 0
        self.mask = torch.zeros(0, 0, dtype=torch.bool)

    @property
    def width(self) -> int:
        """Columns in use."""
        return self.mask.shape[1] if self.rows else 0

    @property
    def can_join(self) -> bool:
        """Only when empty."""
        return self.rows == 0

    def join(self, cache: Any, mask: Tensor, members: Sequence[int]) -> None:
        """Take the prefilled cache over."""
        self.cache, self.mask, self.rows = cache, mask, len(mask)
        if len(members) < len(mask):
            self._select(list(members))

    def step(self) -> Tensor:
        """Open a column."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(self.rows, 1)], dim=1)
        return self.mask

    def leave(self, gone: Sequence[int]) -> list[int]:
        """Select the rows that stay."""
        order = [row for row in range(self.rows) if row not in set(gone)]
        self._select(order)
        return order

    def _select(self, order: list[int]) -> None:
        index = torch.tensor(order, dtype=torch.long, device=self.mask.device)
        self.cache.reorder_cache(index)
        self.mask, self.rows = self.mask[index], len(order)
