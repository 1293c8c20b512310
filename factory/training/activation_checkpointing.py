"""What of the forward pass is kept for the backward pass, and what is computed again there."""

from functools import partial
from typing import Any, Literal

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
    name = operation.__name__.partition(".")[0]
    narrows = name in _PRODUCTS and given[-1].shape[1] < given[-1].shape[0]
    kept = name in _ATTENTION or (name in _PRODUCTS and not narrows)
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def activation_checkpointing(model: Any, what: Literal["auto", "selective"] | bool, device: str = "cpu") -> None:
    """Set up the layers of `model` to keep less; the gradient stays the same.

    `selective` keeps the results of large matrix products and attention and computes the cheap rest again (norms,
    rotations, activation functions); True keeps only each layer's input; False everything. auto is selective but on a
    CPU, whose allocator does not fill the holes that this leaves. Raises ConfigError on True when the model knows no
    such thing.
    """
    core = unwrapped(model)
    if what is True and not core.supports_gradient_checkpointing:
        raise ConfigError(f"training.gradient_checkpointing: {type(core).__name__} cannot; use selective or false")
    if what == "auto":
        what = True if device == "cpu" else "selective"
    if not what or not core.supports_gradient_checkpointing:
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if what == "selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _keep)
    # transformers before 5.20 or so has the older name alone.
    enable = getattr(core, "activation_checkpointing_enable", None) or core.gradient_checkpointing_enable
    enable(options)
