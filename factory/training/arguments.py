"""The training block as transformers' TrainingArguments, and what of it other trainings share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.integrations import get_reporting_integration_callbacks
from transformers.integrations.integration_utils import get_available_reporting_integrations

from factory.config import Training
from factory.errors import ConfigError
from factory.models.quiet import unnoticed


def loop(config: Any, out: Path, seed: int) -> dict[str, Any]:
    """What every training of ours tells transformers' Trainer; rows are laid out for one pass beforehand.

    `config` is the block of any training, with lr_scheduler, weight_decay, max_grad_norm, save_steps, report_to, dtype.
    """
    return {
        "output_dir": str(out),
        "num_train_epochs": 1,
        "lr_scheduler_type": config.lr_scheduler,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        # The Trainer seeds numpy too, which takes 32 bits.
        "seed": seed % 2**32,
        "logging_steps": 1,
        # The Trainer would show the last finite loss in place of NaN, and a lost training would look well.
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        "save_total_limit": 1,
        "report_to": _reported(config.report_to),
        "project": os.environ.get("TRACKIO_PROJECT", "sso-factory"),
        "disable_tqdm": True,
        "log_level": "error",
        # Items are lists of examples, not columns that `forward` names.
        "remove_unused_columns": False,
        **_compute_type(config.dtype),
    }


def _reported(names: list[str]) -> list[str] | str:
    """As transformers' report_to. Raises ConfigError for one that there is not, or whose package is not installed."""
    try:
        get_reporting_integration_callbacks(names)
    except ValueError as error:
        raise ConfigError(f"report_to: {error}") from error
    # Else the Trainer ends with a traceback. Of flyte transformers does not tell whether it is installed.
    there = (*get_available_reporting_integrations(), "flyte")
    missing = next((name for name in names if name not in there), None)
    if missing is not None:
        raise ConfigError(f"report_to: {missing} is not installed; pip install {missing}, or leave it out")
    return names or "none"


def arguments(config: Training, out: Path, seed: int) -> TrainingArguments:
    """Arguments of the optimiser loop, `trainer_options` among them. Raises ConfigError on what they refuse."""
    options: dict[str, Any] = {
        **loop(config, out, seed),
        # An item of the loader is a whole optimiser step.
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "learning_rate": config.learning_rate,
        # Else DDP walks the graph of each pass for parameters without a gradient; here all have one.
        "ddp_find_unused_parameters": False,
        **config.trainer_options,
    }
    try:
        made = TrainingArguments(**options)
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"training: {error}") from error
    # Else a launcher's own setting would be heard where this one is float32.
    made.mixed_precision = "bf16" if made.bf16 else "fp16" if made.fp16 else "no"
    return made


def _compute_type(dtype: str) -> dict[str, bool]:
    half = dtype == "bfloat16"
    if dtype == "auto" and torch.cuda.is_available():
        half = torch.cuda.is_bf16_supported()
    # Where there is only a CPU it must be said: else bfloat16 is refused, and launched processes never meet.
    devices = getattr(torch, "accelerator", torch.cuda)  # torch before 2.6 has no word for all of them
    return {"bf16": half, "use_cpu": not devices.is_available()}


@contextmanager
def quiet_and_seeded(seed: int) -> Iterator[None]:
    """Own random state, and no notices of transformers'; both as they were, afterwards."""
    with unnoticed(), torch.random.fork_rng():
        torch.manual_seed(seed % 2**63)
        yield
