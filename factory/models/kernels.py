"""Attention of our own for models of transformers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import AttentionInterface


@contextmanager
def attention(model: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Give the transformers model `model` the attention `function`, registered as `name`, while the block runs."""
    before = model.config._attn_implementation
    # Global to the process and the same each time; what is switched on and off is the model's choice of it.
    AttentionInterface.register(name, function)
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
