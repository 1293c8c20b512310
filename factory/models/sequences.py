"""Log-probabilities of replies: how prompts and replies are laid out as sequences, and how they are scored.

A prompt with its replies is one packed sequence where the model allows it: the prompt is computed once, no reply sees
another, and positions restart after the prompt. Three layouts give the same numbers:

- flat: all items of a batch in one row without padding, with the attention of `factory.models.shared_prompt`;
- masked: a row per item with a four-dimensional mask, for kernels that take one (eager);
- separate: a row per reply, for models that are not plain softmax attention.

Use: `plan = plan_for(model)` once; then for each group that `buckets` makes, `layout(items, plan.layout)` gives
the batch for `reply_logps(model, batch.to(device), plan, chunk)`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from factory.errors import ConfigError
from factory.models.attention import positions, possible_window
from factory.models.head import Head, find_head, token_logps
from factory.models.layout import Encoded, Layout, TensorBatch, layout
from factory.models.shared_prompt import kernel

_PROBE = 25
"""Tokens that are tried on a model without any window."""
_LONGEST_WINDOW = 1024
"""A configuration that may mean a longer one is not packed: the probe that could tell would take too long."""
# An argument that a model does not take, a shape or a type it cannot have, a part it does not have.
_PROBE_ERRORS = (TypeError, ValueError, RuntimeError, LookupError, AttributeError, AssertionError)


class ReplyLogps(NamedTuple):
    """Summed log-probability of each reply, [R] float32, and its number of tokens, [R] int64."""

    sums: Tensor
    counts: Tensor


class SequencePlan(NamedTuple):
    """What a model allows, found once by `plan_for`."""

    layout: Layout
    head: Head | None
    """The vocabulary projection, to be applied to reply tokens only; None: the model's own logits for every token."""


def reply_logps(model: Any, batch: TensorBatch, plan: SequencePlan, chunk: int | None = 256) -> ReplyLogps:
    """Log-probabilities of the replies of `batch`, differentiable; log-softmax in float32.

    The vocabulary projection covers reply tokens only, `chunk` of them at a time (None: as many as 256 MiB hold): the
    logits of one chunk are kept for the backward pass, and others as `token_logps` says. `batch` must be on the model's
    device and laid out as `plan` says.
    """
    core = unwrapped(model)
    with kernel(core, plan.layout == "flat"):
        states = _run(core, batch).logits if plan.head is None else _run(core.base_model, batch).last_hidden_state
    # Before the vocabulary projection: logits of the prompt tokens would take most of the memory and are never read.
    states = states.flatten(0, 1).index_select(0, batch.at)
    if plan.head is None:
        logps = token_logps(states, batch.targets, None, chunk or len(batch.targets) or 1)
    else:
        logps = plan.head.token_logps(core.get_output_embeddings(), states, batch.targets, chunk)
    # Added up in float32, whatever the model computes in.
    sums = torch.zeros(len(batch.counts), device=logps.device).index_add(0, batch.owner, logps)
    return ReplyLogps(sums, batch.counts)


def _run(module: Any, batch: TensorBatch) -> Any:
    options: dict[str, Any] = {"attention_mask": batch.attention_mask, "use_cache": False}
    if batch.attention_mask is not None and batch.attention_mask.dim() == 4:
        # Eager attention adds the mask to its scores.
        # Under autocast those have its type, and adding another one would turn them into that.
        dtype = torch.get_autocast_dtype(batch.input_ids.device.type) if torch.is_autocast_enabled() else module.dtype
        options["attention_mask"] = torch.zeros(batch.attention_mask.shape, dtype=dtype, device=batch.input_ids.device)
        options["attention_mask"].masked_fill_(~batch.attention_mask, torch.finfo(dtype).min)
    if batch.position_ids is not None:
        options["position_ids"] = batch.position_ids
    if batch.segments is not None:
        options["segments"] = batch.segments
    return module(input_ids=batch.input_ids, **options)


def unwrapped(model: Any) -> Any:
    """The transformers model inside a PEFT wrapper, adapters in place; any other model as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def same_in_training(model: Any) -> bool:
    """Whether the model says the same in training and in evaluation mode, without dropout or noise, on a few tokens."""
    core = unwrapped(model)
    found = []
    for training in (False, True):
        with _mode(core, training):
            found.append(_probe(core, _probe_items(core), SequencePlan("separate", None)))
    return _agrees(found[1], found[0], _tolerance(core))


def plan_for(model: Any, want: Literal["auto", "packed", "separate"] = "auto") -> SequencePlan:
    """Find the cheapest layout and head that agree with the model's own numbers, on a few tokens.

    What the configuration says is tried on the model itself, so that an architecture nobody thought of falls back by
    itself. Raises ConfigError when `want` is packed and the model cannot.
    """
    core = unwrapped(model)
    with _mode(core, training=False):
        items = _probe_items(core)
        full = _probe(core, items, SequencePlan("separate", None))
        head = find_head(core)
        # More strictly than layouts: a head that is almost right would be wrong by the same bit for every token.
        if head is not None and not _agrees(
            _probe(core, items, SequencePlan("separate", head)), full, _tolerance(core) / 10
        ):
            head = None
        for kind in () if want == "separate" else _candidates(core):
            if _agrees(_probe(core, items, SequencePlan(kind, head)), full, _tolerance(core)):
                return SequencePlan(kind, head)
    if want == "packed":
        raise ConfigError(
            f"training.layout: {type(core).__name__} with {core.config._attn_implementation} attention cannot pack a "
            "prompt with its replies; set it to auto or separate"
        )
    return SequencePlan("separate", head)


def _candidates(model: Any) -> tuple[Layout, ...]:
    """Packed layouts worth trying: none where windows are known, or may be longer than a probe goes."""
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and set(kinds) != {"full_attention"}:
        return ()
    if kinds is None and getattr(config, "sliding_window", None) is not None:
        return ()
    if possible_window(config) > _LONGEST_WINDOW:
        return ()
    attention = model.config._attn_implementation
    if attention == "eager" or not model._can_set_attn_implementation():
        return ("masked",)
    return ("flat", "masked") if attention == "sdpa" else ("flat",)


@contextmanager
def _mode(model: Any, training: bool) -> Iterator[None]:
    """Training or evaluation mode, without gradients."""
    before = model.training
    model.train(training)
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(before)


def _probe_items(model: Any) -> list[Encoded]:
    """A few tokens; and a reply twice as long as any window the configuration may mean, half of it out of sight."""
    config = model.config.get_text_config()
    window = possible_window(config)
    long = min(2 * window, (positions(config) or 2 * window + 5) - 5)
    size = max(_PROBE, min(long, 2 * _LONGEST_WINDOW))
    # Random ones, and fixed: repeated tokens hide a wrong position, and a run must come out alike each time.
    tokens = torch.randint(config.vocab_size, (size,), generator=torch.Generator().manual_seed(0)).tolist()
    items = [Encoded(tokens[:5], (tokens[5:9], tokens[9:15])), Encoded(tokens[15:18], (tokens[18:23], tokens[23:25]))]
    return [*items, Encoded(tokens[:5], (tokens, tokens[5:11]))] if size > _PROBE else items


def _probe(model: Any, items: list[Encoded], plan: SequencePlan) -> Tensor | None:
    """Mean log-probabilities of the probe's replies, or None where the model cannot be run so."""
    try:
        sums, counts = reply_logps(model, layout(items, plan.layout).to(model.device), plan)
    except _PROBE_ERRORS:
        return None
    return sums / counts


def _tolerance(model: Any) -> float:
    """Largest difference, in nats per token, that rounding alone explains."""
    return 1e-4 if model.dtype in (torch.float32, torch.float64) else 5e-2


def _agrees(found: Tensor | None, true: Tensor | None, tolerance: float) -> bool:
    if found is None or true is None:
        return False
    return bool(((found - true).abs() <= tolerance).all())
