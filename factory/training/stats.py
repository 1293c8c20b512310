"""What a training step is watched by: sums over pairs, which add up over micro-batches and processes."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from factory.models.exact import exact
from factory.training.sso import PairLogps, Terms

NAMES = (
    "pairs",
    "tokens",
    "loss",
    "margin",
    "accuracy",
    "weight",
    "steering",
    "on_policy_chosen",
    "on_policy_rejected",
)
"""What `measured` sums, in its order; all but the first two become means per pair."""


def measured(terms: Terms, on_policy: PairLogps, tokens: int) -> Tensor:
    """The sums of one micro-batch, [len(NAMES)] float64, without gradient. Absent terms are NaN, and stay so."""
    chosen, rejected = on_policy.chosen.mean, on_policy.rejected.mean
    missing = torch.full_like(terms.loss, torch.nan)
    parts = [
        terms.loss,
        terms.margin,
        (terms.margin > 0).float(),
        missing if terms.weight is None else terms.weight,
        missing if terms.steering is None else terms.steering,
        chosen.exp(),
        rejected.exp(),
    ]
    sums = torch.stack([exact(part.detach()).sum() for part in parts])
    # In float64, since float32 counts tokens exactly up to 2^24 only.
    counts = torch.tensor([len(terms.loss), tokens], dtype=torch.float64, device=sums.device)
    return torch.cat([counts, sums])


def means(sums: Tensor) -> dict[str, float | int | None]:
    """The metrics of a step from the sums of all its micro-batches; what the method does not have is None.

    pairs, tokens; per pair: loss; margin h of chosen over rejected; accuracy, the share of positive margins; weight W
    and steering G, an estimate where a share of the pairs is drawn; on_policy_chosen and on_policy_rejected, e^{pi~}.
    """
    values = dict(zip(NAMES, sums.tolist(), strict=True))
    pairs, tokens = int(values.pop("pairs")), int(values.pop("tokens"))
    # NaN is the only number that is unlike itself.
    per_pair = {name: None if value != value else value / pairs for name, value in values.items()}
    return {"pairs": pairs, "tokens": tokens, **per_pair}


class MetricsFile:
    """metrics.jsonl: one line per optimiser step."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rewind(self, step: int) -> None:
        """Forget lines after `step`, which is where training goes on from; and a last line cut off by a kill."""
        lines = [json.dumps(line) for line in self.read() if line["step"] <= step]
        self._path.write_text("".join(f"{line}\n" for line in lines), "utf-8")

    def append(self, line: dict[str, Any]) -> None:
        """Add the line of a step."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """The whole lines there are."""
        if not self._path.exists():
            return []
        text = self._path.read_text("utf-8")
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]
