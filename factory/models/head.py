"""The vocabulary projection of a causal model, applied to chosen states alone and in chunks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

Projection = Callable[[Tensor], Tensor]
"""[N, hidden] states to [N, vocabulary] logits."""
KEPT_BYTES = 2**28
"""Logits that are kept for the backward pass beside those of the last chunk: a small model's need not be made twice."""


class Head(NamedTuple):
    """What follows a model's output layer: a factor, and a soft cap, cap * tanh(logits / cap)."""

    scale: float = 1.0
    cap: float | None = None

    def logits(self, projection: Projection, states: Tensor) -> Tensor:
        """[N, hidden] through the output layer to [N, vocabulary] logits, float32."""
        # In float32 before the cap and the softmax: bfloat16 holds three digits, and a log-probability is a small
        # difference of two large numbers.
        logits = projection(states).float()
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def token_logps(self, output: Any, states: Tensor, targets: Tensor, chunk: int | None) -> Tensor:
        """`token_logps` through the output layer `output`, which is called once for all chunks.

        Without `chunk` as many rows are taken as KEPT_BYTES hold: in the backward pass each chunk has a gradient of the
        size of the layer's weight to itself.

        So the hooks of a wrapper run once around them: under FSDP every call is an exchange, and processes with unlike
        numbers of chunks would wait for each other.
        """
        # Wrappers hook into calls of the module, so that it is its forward that is exchanged, and it that is called.
        plain, own = output.forward, output.__dict__.get("forward")
        rows = chunk or max(1, KEPT_BYTES // (4 * output.weight.shape[0]))

        def forward(states: Tensor, targets: Tensor) -> Tensor:
            return token_logps(states, targets, lambda part: self.logits(plain, part), rows)

        output.forward = forward
        try:
            found: Tensor = output(states, targets)
        finally:
            del output.forward
            if own is not None:
                output.forward = own
        return found


def find_head(model: Any) -> Head | None:
    """The head that the model's configuration describes; None where there is no output layer.

    A configuration may know further tricks, so compare with the model's own logits before trusting it.
    """
    if model.get_output_embeddings() is None:
        return None
    config = model.config.get_text_config()
    scale = 1.0
    # As Cohere's, Granite's and Falcon-H1's configurations call it; Granite divides.
    for name, power in (("logit_scale", 1), ("logits_scaling", -1), ("lm_head_multiplier", 1)):
        value = getattr(config, name, None)
        if isinstance(value, int | float):
            scale *= float(value) ** power
    # As Gemma's and RecurrentGemma's call it.
    caps = (getattr(config, name, None) for name in ("final_logit_softcapping", "logits_soft_cap"))
    return Head(scale, next((cap for cap in caps if cap), None))


def token_logps(states: Tensor, targets: Tensor, project: Projection | None, chunk: int) -> Tensor:
    """Log-probability of each target, [N] float32, from [N, hidden] states; without `project` they are logits.

    Logits are made `chunk` rows at a time. Those of the last chunk are kept for the backward pass, as are those before
    it that fit into KEPT_BYTES; the others are computed again there.
    """
    if not len(targets):
        return states.new_zeros(0, dtype=torch.float32)
    *parts, (last, wanted) = zip(torch.split(states, chunk), torch.split(targets, chunk), strict=True)
    # The last one first: the backward pass begins with it, so that its logits need not be made twice.
    logits = _logits(last, project)
    again = len(parts) - KEPT_BYTES // (chunk * logits.shape[-1] * logits.itemsize)
    if project is None or not torch.is_grad_enabled():
        again = 0
    found = [
        checkpoint(_logps, *part, project, use_reentrant=False) if number < again else _logps(*part, project)
        for number, part in enumerate(parts)
    ]
    return torch.cat([*found, _picked(logits, wanted)])


def _logits(states: Tensor, project: Projection | None) -> Tensor:
    return states.float() if project is None else project(states)


def _logps(states: Tensor, targets: Tensor, project: Projection | None) -> Tensor:
    return _picked(_logits(states, project), targets)


def _picked(logits: Tensor, targets: Tensor) -> Tensor:
    found: Tensor = _Picked.apply(logits, targets)  # type: ignore[no-untyped-call]
    return found


class _Picked(torch.autograd.Function):
    """Log-softmax at the targets: [N, vocabulary] logits and [N] targets to [N].

    What cross_entropy computes. Its backward pass fills a table as large as the logits with zeros, and makes another
    of it. Here the one that is kept becomes the gradient, in place; to go back twice through it is an error.
    """

    @staticmethod
    def forward(context: Any, logits: Tensor, targets: Tensor) -> Tensor:
        logps = logits.log_softmax(-1)
        context.save_for_backward(logps, targets)
        return logps.gather(1, targets[:, None])[:, 0]

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logps, targets = context.saved_tensors
        # The derivative is one_hot(target) - softmax; in place, since a copy of this table is what costs the memory.
        into = logps.exp_().mul_(-gradient[:, None])
        return into.scatter_add_(1, targets[:, None], gradient[:, None]), None
