"""What of the forward pass is kept for the backward pass, and what is computed again there."""

from functools import partial
from typing import Any, Literal, NamedTuple

from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from factory.errors import ConfigError
from factory.models.sequences import unwrapped

_ATTENTION = {
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_flash_attention_forward",
    "bmm",
    "_grouped_mm",
}
_PRODUCTS = {"mm", "addmm"}


def _keep(_: Any, operation: Any, *given: Any, **__: Any) -> CheckpointPolicy:
    """Keep what takes nearly all of a layer's time; products that narrow are left out.

    They are cheap (keys and values), or nothing in the layer comes after them that would ask for them (down).
    """
    # "mm.default" and "mm.out" are one operation.
    name = operation.__name__.partition(".")[0]
    narrows = name in _PRODUCTS and given[-1].shape[1] < given[-1].shape[0]
    kept = name in _ATTENTION or (name in _PRODUCTS and not narrows)
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


class Keeping(NamedTuple):
    """How the passes of a training are made, so that what they keep fits."""

    by_view: bool = False
    """Each view has passes of its own."""
    tokens: int | None = None
    """The longest pass of which everything is kept; the layers of a longer one run twice. None: all are alike."""


KEEP = 1024
"""Tokens of which a CPU keeps everything, so that memory is bounded: 540 of a model of 135M parameters took 1.1 GiB."""


def activation_checkpointing(
    model: Any, what: Literal["auto", "selective", "by_view"] | bool, device: str = "cpu", processes: int = 1
) -> Keeping:
    """Set up the layers of `model` to keep less; the gradient stays the same but for rounding.

    `selective` keeps the results of large matrix products and attention and computes the cheap rest again (norms,
    rotations, activation functions); True keeps only each layer's input; False everything, as does `by_view` of one
    view at a time. auto is selective but on a CPU, whose allocator does not fill the holes that this leaves: there it
    is by_view for passes of at most KEEP tokens, and True for longer ones and in several processes. Raises ConfigError
    on True when the model knows no such thing, and on by_view in several processes, whose passes would not be as many.
    """
    core = unwrapped(model)
    if what is True and not core.supports_gradient_checkpointing:
        raise ConfigError(f"training.gradient_checkpointing: {type(core).__name__} cannot; use selective or false")
    if what == "by_view" and processes > 1:
        raise ConfigError(
            "training.gradient_checkpointing: by_view is for one process; use true or selective where there are several"
        )
    if what == "auto":
        what = "selective" if device != "cpu" else "by_view" if processes == 1 else True
        keeping = Keeping(True, KEEP) if what == "by_view" else Keeping()
    else:
        keeping = Keeping(what == "by_view")
    recomputing = what in (True, "selective") or keeping.tokens is not None
    if recomputing and core.supports_gradient_checkpointing:
        # The reentrant form takes no contexts, and wants inputs that carry gradient, which token ids do not.
        options: dict[str, Any] = {"use_reentrant": False}
        if what == "selective":
            options["context_fn"] = partial(create_selective_checkpoint_contexts, _keep)
        # transformers before 5.20 or so has the older name alone.
        enable = getattr(core, "activation_checkpointing_enable", None) or core.gradient_checkpointing_enable
        enable(options)
    return keeping


def keep_up_to(model: Any, keeping: Keeping, tokens: int) -> None:
    """Have the layers of `model`, set up as above, keep what `keeping` says of the pass of `tokens` that is next."""
    if keeping.tokens is None or not unwrapped(model).supports_gradient_checkpointing:
        return
    for module in unwrapped(model).modules():
        if hasattr(module, "gradient_checkpointing"):
            module.gradient_checkpointing = tokens > keeping.tokens
