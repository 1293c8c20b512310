"""The vocabulary projection of a causal model, applied to chosen states alone and in chunks."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Head(NamedTuple):
    """Hidden states to logits: a linear layer, a factor, and a soft cap, cap * tanh(logits / cap)."""

    projection: nn.Module
    scale: float = 1.0
    cap: float | None = None

    def __call__(self, states: Tensor) -> Tensor:
        """[N, hidden] to [N, vocabulary], float32."""
        logits = self.projection(states).float()
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


def find_head(model: Any) -> Head | None:
    """The head that the model's configuration describes; None where there is no output layer.

    A configuration may know further tricks, so compare with the model's own logits before trusting it.
    """
    projection = model.get_output_embeddings()
    if projection is None:
        return None
    config = model.config.get_text_config()
    scale = 1.0
    for name, power in (("logit_scale", 1), ("logits_scaling", -1), ("lm_head_multiplier", 1)):
        value = getattr(config, name, None)
        if isinstance(value, int | float):
            scale *= float(value) ** power
    caps = (getattr(config, name, None) for name in ("final_logit_softcapping", "logits_soft_cap"))
    return Head(projection, scale, next((cap for cap in caps if cap), None))


def token_logps(states: Tensor, targets: Tensor, head: Head | None, chunk: int) -> Tensor:
    """Log-probability of each target, [N] float32, from [N, hidden] states; without a head they are logits.

    At most `chunk` rows of logits are held at once: those of the last chunk are kept for the backward pass, the others
    are computed again there.
    """
    if not len(targets):
        return states.new_zeros(0, dtype=torch.float32)
    parts = list(zip(torch.split(states, chunk), torch.split(targets, chunk), strict=True))
    again = torch.is_grad_enabled() and head is not None
    earlier = [
        checkpoint(_logps, *part, head, use_reentrant=False) if again else _logps(*part, head) for part in parts[:-1]
    ]
    return torch.cat([*earlier, _logps(*parts[-1], head)])


def _logps(states: Tensor, targets: Tensor, head: Head | None) -> Tensor:
    logits = states.float() if head is None else head(states)
    return -nn.functional.cross_entropy(logits, targets, reduction="none")
