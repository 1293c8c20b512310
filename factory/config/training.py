"""The `training:` block of a configuration: the objective, the optimiser, and how both are computed."""

from typing import Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from factory.config.trainer_options import FREE, POLICY, require_free
from factory.registry import Registry
from factory.strict import Strict


class Lora(Strict):
    """Train an adapter instead of the weights; the reference is the model with the adapter off."""

    r: int = Field(16, ge=1)
    """Rank."""
    alpha: int = Field(32, ge=1)
    """Scale numerator."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the adapter's input."""
    target_modules: str | list[str] = "all-linear"
    """Which layers."""
    merge: bool = True
    """Save the policy with the adapter merged in; off keeps base and adapter apart."""


class Launch(Strict):
    """Train in several processes, which the run starts by `accelerate launch` and ends with itself."""

    processes: int = Field(ge=1)
    """Processes on each machine: one a GPU."""
    hosts: list[str] = Field(default_factory=list)
    """Further machines, as ssh knows them, on which this Python and the run folder lie at the same paths."""
    address: str | None = None
    """This machine's address for them; null: its own name."""
    config_file: str | None = None
    """accelerate's own configuration, such as examples/launch/fsdp2.yaml; null: DDP, a copy of the model in each."""

    @model_validator(mode="after")
    def _more_than_one(self) -> Self:
        if self.processes == 1 and not self.hosts:
            raise ValueError("processes: 1 on one machine is what launch: null does; set 2 or more, or hosts")
        return self


LOSSES = Registry(
    "base loss",
    "sso_factory.losses",
    {
        "ipo": "factory.training.losses:Ipo",
        "dpo": "factory.training.losses:Dpo",
        "hinge": "factory.training.losses:Hinge",
        "simpo": "factory.training.losses:Simpo",
    },
    lambda part: all(hasattr(part, name) for name in ("of", "needs_reference", "normalises", "__call__")),
    "class with of, needs_reference, normalises and __call__, as factory.training.losses.Loss",
)
"""Name to the class of each base loss."""

_OF_GENERATORS = ("sso", "sso_no_w", "sso_no_g")
Method = Literal["sso", "sso_no_w", "sso_no_g", "pbaa", "annotated", "none"]
METHODS: tuple[Method, ...] = get_args(Method)


class Training(Strict):
    """SSO training (equations of the paper in factory/training)."""

    method: Method = "sso"
    """Preset: full loss; without W; without G; neither (pbaa, annotated). none: do not train."""
    generator: Literal["same", "separate"] = "same"
    """Who writes the pairs. same: the policy that their loss trains, as in the paper's first version; separate, as in
    its later one: in each iteration that loss makes a data generator of the policy, which writes the pairs anew, and on
    these the policy is trained by the base loss alone."""
    loss: str = "ipo"
    """Base loss L: one of ours, or of another package's."""
    beta: float = Field(0.2, gt=0)
    """Strength of the base loss."""
    gamma: float = Field(0.1, ge=0)
    """Weight of G, eq. 1."""
    alpha: float = Field(0.66, ge=0, le=1)
    """Share of the chosen reply in W, eq. 5."""
    steering_share: float = Field(1.0, gt=0, le=1)
    """Share q of the pairs whose steered views a step computes, drawn by pair and step; their G counts 1/q times. The
    expected gradient stays the same, its noise grows; at 0.25 a step costs little more than the base loss alone."""
    steering: Literal["original", "naive"] = "original"
    """G as eq. 3 (original: y° over y+ under the bad prompt) or eq. 2 (naive: y- over y+)."""
    weight: Literal["w", "w_prime"] = "w"
    """W as eq. 5 or W' as eq. 6."""
    weight_gradient: bool = True
    """Let W carry gradient; off makes it a mere number."""
    weight_scope: Literal["all", "steering"] = "all"
    """all: W weighs the whole loss, eq. 1; steering: G alone, as the authors' code does."""
    simpo_margin: float = Field(0.5, ge=0)
    """Target reward margin of SimPO (its gamma)."""
    scores: Literal["needed", "all"] = "needed"
    """Which of the nine log-probabilities of a pair (three replies, three views) are measured before training: those
    that its loss, the run's filters or its report read, or all."""
    filters: list[dict[str, Any]] = Field(default_factory=list)
    """Filters, as {use: name, …}, that a pair must pass to be trained on, such as authors_logprobs; none that needs
    votes. What they drop stays with the pairs of the run, for its own filters to decide."""
    learning_rate: float = Field(5e-7, gt=0)
    """Peak learning rate."""
    lr_scheduler: str = "cosine"
    """As transformers' lr_scheduler_type."""
    warmup_ratio: float = Field(0.1, ge=0, le=1)
    """Share of steps spent warming up."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradient clipping."""
    batch_pairs: int = Field(128, ge=1)
    """Pairs per optimiser step, over all processes."""
    micro_batch_tokens: int = Field(8192, ge=1)
    """Most tokens in one forward pass; pairs are grouped by length to fill it."""
    epochs: int = Field(1, ge=1)
    """Passes over an iteration's pairs."""
    max_length: int | None = Field(None, ge=1)
    """Longest prompt plus reply; longer pairs are left out and counted. null: the model's context."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute type: float32 weights, autocast to bfloat16 on a GPU under auto."""
    layout: Literal["auto", "packed", "separate"] = "auto"
    """packed: a prompt and its replies in one sequence; auto packs where the model allows it."""
    logits_chunk: int | None = Field(None, ge=1)
    """Reply tokens whose vocabulary projection is made at once; null: as many as 256 MiB hold."""
    gradient_checkpointing: Literal["auto", "selective", "by_view"] | bool = "auto"
    """What the backward pass computes again: true, whole layers (least memory); selective, all but large matrix
    products and attention; by_view, the views that the weight reads, since each view goes through by itself; false,
    nothing. auto: by_view on a CPU (true for pairs of more than 1,024 tokens a view and in several processes),
    selective elsewhere."""
    dropout: bool = False
    """Leave the model's own dropout on while it trains. The reference is measured without, so that with it the first
    margin is not 0; an adapter's own dropout (lora.dropout) is another matter."""
    lora: Lora | None = None
    """Set to train an adapter."""
    launch: Launch | None = None
    """Set to train in several processes, such as one a GPU; null trains in the run's own."""
    save_steps: int = Field(50, ge=1)
    """Optimiser steps between checkpoints (for resuming)."""
    report_to: list[str] = Field(default_factory=list)
    """tensorboard, wandb, trackio, …: as transformers' report_to; empty: those of run.report_to."""
    trainer_options: dict[str, Any] = Field(default_factory=dict)
    """Further transformers.TrainingArguments: optimiser, devices and sharding, logging (optim, fsdp, deepspeed, ...).
    What would change the objective, or has a key here, is refused by name."""

    # Not a Literal, as other packages may add one.
    @field_validator("loss")
    @classmethod
    def _there_is_one(cls, value: str) -> str:
        if value not in LOSSES:
            raise ValueError(LOSSES.unknown(value))
        return value

    @field_validator("trainer_options")
    @classmethod
    def _passed_on(cls, value: dict[str, Any]) -> dict[str, Any]:
        require_free(value, FREE, POLICY)
        return value

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        steered = self.method == "sso" and self.gamma > 0
        if self.weight_scope == "steering" and self.method in ("sso", "sso_no_g") and not steered:
            raise ValueError(
                "weight_scope: steering lets W weigh G alone, and this objective has no G; "
                "use method: sso with gamma above 0, weight_scope: all, or method: pbaa, which is what this would be"
            )
        return self

    @model_validator(mode="after")
    def _makes_a_generator(self) -> Self:
        if self.generator == "separate" and self.method not in _OF_GENERATORS:
            raise ValueError(
                f"generator: separate trains the data generator by the SSO loss, and method: {self.method} has none; "
                f"use {', '.join(_OF_GENERATORS)}, or generator: same"
            )
        return self

    @property
    def of_generator(self) -> "Training":
        """How the data generator is trained, where there is one."""
        return self.model_copy(update={"generator": "same"})

    @property
    def of_policy(self) -> "Training":
        """How the policy is trained: by the base loss alone where a data generator has the SSO loss."""
        alone = {"method": "pbaa", "generator": "same", "steering_share": 1.0}
        # The policy is trained by the base loss on what the generator wrote: no steered views to leave out.
        return self if self.generator == "same" else self.model_copy(update=alone)

    @model_validator(mode="after")
    def _samples_what_w_does_not_read(self) -> Self:
        if self.steering_share < 1 and self.weight == "w_prime":
            raise ValueError(
                "steering_share leaves the steered views of most pairs out, and weight: w_prime reads them of every "
                "pair; use weight: w or steering_share: 1"
            )
        return self
