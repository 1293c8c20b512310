"""What of reward models can be set."""

from typing import Any, Literal

from pydantic import Field, field_validator

from factory.config import Lora
from factory.config.trainer_options import REWARD, REWARD_FREE, require_free
from factory.strict import Strict


class RewardTraining(Strict):
    """Training of a reward model by TRL's RewardTrainer: -log sigmoid(d) with d = r(chosen) - r(rejected)."""

    learning_rate: float | None = Field(None, gt=0)
    """Peak learning rate; null: 1e-5, and 1e-4 for an adapter."""
    center_rewards_coefficient: float | None = Field(None, ge=0)
    """Adds this times (r(chosen) + r(rejected))^2, which pulls rewards to a mean of zero; 0.01 is usual."""
    margin: str | None = None
    """Column of the pairs with a margin m, by which chosen is to win: d - m in place of d. null: no column is one."""
    soft_labels: str | None = None
    """Column with the probability p that chosen is the better one, such as p_chosen: the loss is
    -p log sigmoid(d) - (1 - p) log sigmoid(-d). null: p is 1."""
    epochs: int = Field(1, ge=1)
    """Passes over the pairs."""
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many optimiser steps, if the epochs have more; null: after all epochs."""
    batch_pairs: int = Field(32, ge=1)
    """Pairs per optimiser step."""
    micro_batch_pairs: int = Field(4, ge=1)
    """Most pairs in one forward pass; the largest number up to it that divides batch_pairs is taken."""
    max_length: int | None = Field(2048, ge=1)
    """Longest conversation in tokens; pairs with a longer one are left out and counted. null: the model's context."""
    test_share: float = Field(0.05, ge=0, lt=1)
    """Share of prompts held out to measure the accuracy, where the pairs bring no test split of their own."""
    lr_scheduler: str = "cosine"
    """As transformers' lr_scheduler_type."""
    warmup_ratio: float = Field(0.1, ge=0, le=1)
    """Share of steps spent warming up."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradient clipping."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute type: float32 weights, autocast to bfloat16 on a GPU under auto."""
    gradient_checkpointing: bool = False
    """Trade time for memory."""
    lora: Lora | None = None
    """Set to train an adapter and the head; the folder that is saved has the adapter merged in."""
    save_steps: int = Field(200, ge=1)
    """Optimiser steps between checkpoints (for resuming)."""
    report_to: list[str] = Field(default_factory=list)
    """tensorboard, wandb: as transformers' report_to."""
    trainer_options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of TRL's RewardConfig; what has a key here, or would do nothing, is refused by name."""

    @field_validator("trainer_options")
    @classmethod
    def _passed_on(cls, value: dict[str, Any]) -> dict[str, Any]:
        require_free(value, REWARD_FREE, REWARD)
        return value

    @field_validator("lora")
    @classmethod
    def _merged(cls, value: Lora | None) -> Lora | None:
        if value is not None and not value.merge:
            raise ValueError("a reward model is saved with its adapter merged in; leave merge out")
        return value


SAME_WEIGHTS = {"save_steps", "report_to"}
"""Keys that change how training runs and not what comes of it."""


class RewardScoring(Strict):
    """How conversations are scored."""

    max_length: int | None = Field(None, ge=1)
    """Longest conversation in tokens; the end of a longer one is scored, and counted. null: the model's context."""
    batch_tokens: int = Field(8192, ge=1)
    """Most tokens, padding included, in one forward pass."""
    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto takes a GPU where there is one."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights; the short ones round, which makes ties of close scores."""
    ensemble: Literal["mean", "standardised", "worst"] = "mean"
    """How the scores of several models become one: their mean, as fits models of one recipe; the mean after each
    model's scores are brought to mean 0 and deviation 1, for models of unlike scale; the lowest of those."""
