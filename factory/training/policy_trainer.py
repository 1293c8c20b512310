"""The optimiser loop: transformers' Trainer, fed with whole optimiser steps and an exact mean over their pairs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import MethodType
from typing import Any, NamedTuple

import torch
from accelerate.utils import DistributedType, gather_object
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from factory.errors import TrainingError
from factory.models.exact import exact
from factory.models.layout import Encoded, TensorBatch, layout
from factory.models.sequences import SequencePlan, reply_logps, unwrapped
from factory.training.activation_checkpointing import Keeping, keep_up_to
from factory.training.batches import MicroBatch, computed, micro_batches, passes
from factory.training.data import TrainingExample
from factory.training.methods import Method
from factory.training.stats import NAMES, MetricsFile, means, measured


class Objective(NamedTuple):
    """What is minimised and how it is computed."""

    method: Method
    plan: SequencePlan
    chunk: int | None
    """Reply tokens whose logits are made at once; None: as many as fit."""
    max_tokens: int
    """Most tokens in a forward pass."""
    keeping: Keeping = Keeping()


class PolicyTrainer(Trainer):
    """Trains `model` on `steps`, the pairs of each optimiser step.

    A step's micro-batches are made by token budget, over all processes; its loss is the mean over its pairs, whatever
    the micro-batches. `reference` fills in pi~ of the starting policy before the first step, see `measure`.
    """

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        steps: Sequence[list[TrainingExample]],
        objective: Objective,
        watch: "Watch",
    ) -> None:
        args._n_gpu = min(args.n_gpu, 1)  # several GPUs are for accelerate launch; never torch's DataParallel
        # Before the Trainer wraps it: DDP and FSDP hook into calls of `forward`, and a loss computed around them would
        # train without their exchange.
        score_replies(model, objective)
        # The Trainer writes its own into the model's configuration; one with several parts has none at its top.
        args.use_cache = getattr(unwrapped(model).config, "use_cache", True)
        super().__init__(model=model, args=args, train_dataset=list(steps), callbacks=[LastStep()])
        _exact_sharding(self)
        self.remove_callback(PrinterCallback)
        self.objective, self.watch = objective, watch
        self.reference: Mapping[str, tuple[float, ...]] = {}
        self._sums = torch.zeros(len(NAMES), dtype=torch.float64)

    def get_train_dataloader(self) -> DataLoader[list[TrainingExample]]:
        """One item per optimiser step; every process reads the whole step and takes its share."""
        # Without accelerate's sharding of the loader: which process takes what is decided by tokens, in
        # `micro_batches`.
        return DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=lambda items: items[0])

    def training_step(
        self, model: Any, inputs: Sequence[TrainingExample], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward over this process's share of a step; gradients are exchanged once, at the end."""
        model.train()
        device, world = self.accelerator.device, self.accelerator.num_processes
        micros = self._share(inputs, self.objective.keeping.by_view)
        total, sums = torch.zeros((), device=device), torch.zeros(len(NAMES), dtype=torch.float64)
        for number, micro in enumerate(micros, 1):
            # Processes' gradients are averaged, hence `world`; a filler only keeps sharded models in step.
            scale = 0.0 if micro.filler else world / len(inputs)
            loss, stats = self._backward(model, micro, scale, last=number == len(micros))
            total += loss * scale
            sums += 0.0 if micro.filler else stats.cpu()
        # Summed before it is looked at: a process that raised alone would leave the others waiting.
        self._sums = self.accelerator.reduce(sums.to(device, self._sum_dtype()), "sum").double().cpu()
        if not torch.isfinite(self._sums[NAMES.index("loss")]):
            raise TrainingError(
                f"the loss is not a number at step {self.state.global_step + 1}; lower training.learning_rate"
            )
        return total

    def _backward(self, model: Any, micro: MicroBatch, scale: float, last: bool) -> tuple[Tensor, Tensor]:
        """The backward passes of a micro-batch; its summed loss, and its statistics (`stats.NAMES`)."""
        objective, counts = self.objective, micro.counts.to(self.accelerator.device)
        reference = self._reference_sums(micro, counts)
        sums = torch.zeros(len(counts), device=counts.device)
        # Else DeepSpeed divides by its own count of micro-batches, and the loss is a mean over pairs already.
        options = {"scale_wrt_gas": False} if self.accelerator.distributed_type == DistributedType.DEEPSPEED else {}
        made, tokens = passes(objective.method, micro, objective.keeping.by_view), 0
        for number, one in enumerate(made, 1):
            batch = self._batch(one.items)
            keep_up_to(model, objective.keeping, batch.input_ids.numel())
            exchange = last and number == len(made)
            # accelerate counts micro-batches by the loader's items; here an item is a whole step, so it is told.
            self.accelerator.gradient_state._set_sync_gradients(exchange)
            with self._exchange(model, exchange), torch.set_grad_enabled(one.gradient):
                with self.compute_loss_context_manager():
                    found = model(batch)
                sums = sums.detach().index_copy(0, one.at.to(sums.device), found)
                terms, on_policy = computed(objective.method, micro, sums, counts, reference)
                if one.gradient:
                    tokens += batch.input_ids.numel()
                    self.accelerator.backward(terms.loss.sum() * scale, **options)
        return terms.loss.detach().sum(), measured(terms, on_policy, tokens)

    def measure(self, examples: Sequence[TrainingExample]) -> Mapping[str, tuple[float, ...]]:
        """pi~ of every conditional of `examples` under the model as it stands, by key; the work is shared."""
        # The wrapped one, as under FSDP the bare model holds shards that cannot be run.
        model = self.model_wrapped
        model.eval()
        found: list[tuple[str, tuple[float, ...]]] = []
        for micro in self._share(examples):
            batch = self._batch([item for example in micro.examples for item in example.items])
            with torch.no_grad(), self.compute_loss_context_manager():
                sums = model(batch)
            values = (exact(sums) / exact(batch.counts)).view(len(micro.examples), -1).tolist()
            found += [(example.key, tuple(row)) for example, row in zip(micro.examples, values, strict=True)]
        return dict(gather_object(found))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the step's means to what is logged and write its line of metrics.jsonl."""
        if "learning_rate" in logs:
            step = means(self._sums)
            line = {"step": self.state.global_step, "learning_rate": logs["learning_rate"], **step}
            line["grad_norm"] = logs.get("grad_norm")
            if self.is_world_process_zero():
                self.watch.metrics.append({**line, **self.watch.constant})
            self.watch.advance(int(step["tokens"] or 0))
            logs = {**logs, **{name: value for name, value in step.items() if value is not None}}
        super().log(logs, start_time)

    def _share(self, examples: Sequence[TrainingExample], by_view: bool = False) -> list[MicroBatch]:
        kind, budget = self.objective.plan.layout, self.objective.max_tokens
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        return micro_batches(examples, kind, budget, world, rank, by_view=by_view)

    def _batch(self, items: Sequence[Encoded]) -> TensorBatch:
        return layout(items, self.objective.plan.layout).to(self.accelerator.device)

    def _exchange(self, model: Any, last: bool) -> AbstractContextManager[None]:
        """Gradients stay in the process until the last micro-batch; DeepSpeed does so by its own boundary flag."""
        if last or self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            return nullcontext()
        context: AbstractContextManager[None] = self.accelerator.no_sync(model)
        return context

    def _sum_dtype(self) -> torch.dtype:
        # Apple's GPUs know no float64.
        return torch.float32 if self.accelerator.device.type == "mps" else torch.float64

    def _reference_sums(self, micro: MicroBatch, counts: Tensor) -> Tensor | None:
        if not self.objective.method.loss.needs_reference:
            return None
        means_ = [value for one in micro.examples for value in self.reference[one.key][: len(one.counts)]]
        # Means are what is stored; multiplied out in float64, so that a long reply's sum is not off by its rounding.
        return (torch.tensor(means_, dtype=torch.float64) * counts.cpu()).float().to(counts.device)


class Watch(NamedTuple):
    """Who is told about each optimiser step."""

    metrics: MetricsFile
    constant: dict[str, Any]
    """Facts of the whole training that each line repeats."""
    advance: Callable[[int], None]
    """Called with the tokens of the step."""


class FirstStep(TrainerCallback):
    """Runs what must happen with the wrapped model before it changes."""

    def __init__(self, before: Callable[[], None]) -> None:
        self._before = before

    def on_train_begin(self, *_: object, **__: object) -> None:
        """The model is wrapped and nothing is trained yet, or the checkpoint's weights are in place."""
        self._before()


class LastStep(TrainerCallback):
    """No checkpoint after the last step: the model itself is saved then."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: object) -> Any:
        """Take back the save that the default flow orders."""
        if state.global_step >= state.max_steps:
            control.should_save = False
        return control


def _exact_sharding(trainer: PolicyTrainer) -> None:
    """Under FSDP2 and bfloat16, results and exchanged gradients in float32: accelerate would have both rounded.

    A sum of log-probabilities in bfloat16 is off by whole nats.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is not None and plugin.fsdp_version == 2 and plugin.mixed_precision_policy is not None:
        plugin.mixed_precision_policy = replace(
            plugin.mixed_precision_policy, output_dtype=torch.float32, reduce_dtype=torch.float32
        )


def score_replies(model: Any, objective: Objective) -> None:
    """Make the model's forward score replies, so that every wrapper (DDP, FSDP, autocast) sees one plain forward."""
    own = model.forward

    def forward(self: Any, batch: TensorBatch | None = None, **inputs: Any) -> Any:
        # Without a batch it is `reply_logps` that calls: of some models it reads the model's own logits.
        return own(**inputs) if batch is None else reply_logps(self, batch, objective.plan, objective.chunk).sums

    # On the instance: the class is transformers', and other models of it may live in this process.
    model.forward = MethodType(forward, model)
