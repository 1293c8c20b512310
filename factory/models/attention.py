"""What a configuration says about how far attention looks, and about rotations that depend on the length of a batch."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from factory.models.layout import Encoded

_SIZES = re.compile(
    r"vocab|hidden|intermediate|ffn|expert|head|layer|kv_channels|_ids?$|_rank$|_dim$|_groups?$|suppress_tokens"
    r"|^(num|n|d|dim)_|max_pos|original_max|positions$|max_seq_len$"
)
_REACHES = re.compile(r"window|chunk|block_size|local_att|sparse|topk")
"""Names of a reach, whatever else they look like."""


def positions(config: Any) -> int | None:
    """Most tokens that the model's positions reach, or None where the configuration knows no limit."""
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(found) if found and found > 0 else None


def possible_window(config: Any) -> int:
    """The largest number of the model configuration `config` that may be how far a token sees; 0 without one.

    Known are the names of sizes, counts and ids; any other number below the context, under whatever name, may be a
    window, a chunk or a number of tokens that are attended to.
    """
    # Some configurations keep a sliding_window that no layer uses.
    full = set(getattr(config, "layer_types", None) or ()) == {"full_attention"}
    context = positions(config) or float("inf")
    found = (value for name, value in _numbers("", config.to_dict()) if not (full and name == "sliding_window"))
    return max((value for value in found if value < context), default=0)


def _numbers(name: str, value: Any) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _numbers(str(key), inside)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inside in value:
            yield from _numbers(name, inside)
    # To Python a switch that is on is the number 1.
    elif isinstance(value, int) and not isinstance(value, bool) and (_REACHES.search(name) or not _SIZES.search(name)):
        yield name, value


def even_up_to(config: Any) -> int | None:
    """The length up to which a sequence's rotary positions are its own; None where they always are.

    Beyond it some scalings (longrope, dynamic) turn every sequence of a batch as the longest one asks for.
    """
    config = config.get_text_config()
    given = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    limits = []
    for rope in (given, *(inside for inside in given.values() if isinstance(inside, Mapping))):
        kind = str(rope.get("rope_type", rope.get("type")))
        if kind == "longrope":
            original: Any = rope.get("original_max_position_embeddings")
            limits.append(int(original or getattr(config, "original_max_position_embeddings", 0)))
        elif "dynamic" in kind:
            limits.append(int(config.max_position_embeddings))
    return min(limits, default=None)


def evenly(items: Sequence[Encoded], limit: int | None) -> list[list[Encoded]]:
    """`items` in groups that may share a batch, their replies in order: each by itself once one is beyond `limit`."""
    if limit is None or max((item.longest for item in items), default=0) <= limit:
        return [list(items)]
    return [[Encoded(item.prompt, (reply,))] for item in items for reply in item.replies]
