"""Scored pairs for training tests: a dozen short ones of several lengths, and a random model to train on them."""

from pathlib import Path
from typing import Any

import polars as pl

from factory.models.ref import ModelRef
from factory.schema import MESSAGES, SCORES, conform
from tests.pairs import pair, user
from tests.tiny import tiny_model_folder

VIEWS = {"system_good": "Be lively.", "system_bad": "Be dull and slow."}


def scored_pairs(count: int = 12, **columns: Any) -> pl.DataFrame:
    """`count` pairs without log-probabilities; every second rejected reply was cut by the length limit."""
    rows = [
        pair(
            [user(f"Write about the moon {i}")],
            "A storm at sea " * (1 + i % 3) + str(i),
            "Dull answer " * (1 + i % 4) + str(i),
            original=f"The engine {i}",
            finish_chosen="stop",
            finish_rejected="length" if i % 2 else "stop",
            **{**VIEWS, **columns},
        )
        for i in range(count)
    ]
    return conform(pl.DataFrame(rows, schema_overrides={"prompt": MESSAGES}), SCORES)


def tiny_policy(folder: Path, arch: str = "llama") -> ModelRef:
    return ModelRef(str(tiny_model_folder(folder / f"tiny-{arch}", arch)))
