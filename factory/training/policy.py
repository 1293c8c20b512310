"""A policy before, during and after training: loaded, with or without an adapter; its dropout; saved as a folder."""

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from transformers import PreTrainedTokenizerBase, Trainer

from factory.config import Lora
from factory.errors import ConfigError, MissingExtraError
from factory.models.attention import even_up_to
from factory.models.load import load_model, resolve, save_processors
from factory.models.quiet import quiet_peft
from factory.models.ref import ModelRef
from factory.models.sequences import unwrapped
from factory.training.data import TrainingExample


def trainable(ref: ModelRef, lora: Lora | None) -> Any:
    """The model in float32, ready to be trained; with an adapter around it where `lora` is set.

    Adapter weights are drawn from torch's generator. With an adapter the reference is the model with the adapter off.
    """
    # On the CPU: the Trainer moves it, or parts of it where it is sharded. In float32: bfloat16 weights would swallow
    # steps of 5e-7.
    model = load_model(ref, "cpu", torch.float32)
    if lora is None:
        return model.requires_grad_(True)  # a merged adapter leaves its base frozen
    settings = adapter(lora, "CAUSAL_LM")
    from peft import get_peft_model  # only adapters need it

    try:
        with quiet_peft():
            return get_peft_model(model, settings)
    except ValueError as error:
        raise ConfigError(f"training.lora.target_modules fits no layer of {ref.name}: {error}") from error


def adapter(lora: Lora, task: str, **more: Any) -> Any:
    """The settings of an adapter as peft has them. Raises MissingExtraError without it."""
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise MissingExtraError("train", "peft") from error
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type=task,
        **more,
    )


def save(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, folder: Path, ref: ModelRef, lora: Lora | None) -> None:
    """Save the trained policy to `folder`, so that from_pretrained loads it: safetensors, tokenizer, chat template.

    A merged adapter gives a plain model; one that is kept gives an adapter that names its base. Every process calls
    this; sharded weights are gathered.
    """
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    if trainer.is_world_process_zero():
        # A merged model that a kill left half-way would be loaded in place of the adapter.
        shutil.rmtree(folder, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(folder), _internal_call=True)
    trainer.accelerator.wait_for_everyone()
    if not trainer.is_world_process_zero():
        return
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle nobody needs
    if lora is not None:
        _finish_adapter(folder, ref, lora.merge)
    tokenizer.save_pretrained(folder)
    save_processors(ref, unwrapped(trainer.model).config, folder)


def _finish_adapter(folder: Path, ref: ModelRef, merge: bool) -> None:
    settings_path = folder / "adapter_config.json"
    settings = json.loads(settings_path.read_text("utf-8"))
    base = resolve(ref.name)
    # Whole: the policy is used from other folders than the one that training was started in.
    settings["base_model_name_or_path"] = str(Path(base).absolute()) if Path(base).is_dir() else base
    settings_path.write_text(json.dumps(settings, indent=2, sort_keys=True), "utf-8")
    if merge:
        # Loaded from the folder, as the model in hand may be sharded over processes.
        merged = load_model(ref._replace(name=str(folder)), "cpu", torch.float32)
        shutil.rmtree(folder)
        merged.save_pretrained(folder)


def require_known(model: Any, tokenizer: PreTrainedTokenizerBase, examples: Iterable[TrainingExample]) -> None:
    """Raise ConfigError where the tokenizer makes a token that the model was not given."""
    size = unwrapped(model).get_input_embeddings().weight.shape[0]
    items = (item for example in examples for item in example.items)
    highest = max(max(ids) for item in items for ids in (item.prompt, *item.replies))
    if highest >= size:
        raise ConfigError(
            f"the tokenizer of {tokenizer.name_or_path} makes the token {tokenizer.convert_ids_to_tokens(highest)} of "
            f"number {highest}, and the model knows {size} tokens; resize the model's embeddings, or give it its own "
            "tokenizer"
        )


def require_even(model: Any, longest: int) -> None:
    """Raise ConfigError where a sequence is so long that its numbers would depend on what else is in its batch."""
    core = unwrapped(model)
    limit = even_up_to(core.config)
    if limit is not None and longest > limit:
        raise ConfigError(
            f"max_length: beyond {limit} tokens {type(core).__name__} turns the positions of a whole batch by its "
            f"longest sequence, so that a pair's loss would depend on its neighbours, and the longest has {longest}; "
            f"set max_length to {limit} or less"
        )


class _Rate(NamedTuple):
    """A share that is dropped: an attribute of a layer or of a configuration."""

    holder: Any
    name: str
    value: float


@contextmanager
def dropout(model: nn.Module, on: bool) -> Iterator[None]:
    """Without `on`, no part of `model` drops anything while the block runs; an adapter's own dropout stays as it is.

    Policy and reference are then one function before the first step. Layers hold their rates as modules, as numbers, or
    read them off the configuration at each pass, so all three are set to 0. Afterwards they are as they were: the
    policy is saved with the configuration it came with.
    """
    rates = [] if on else list(_rates(unwrapped(model)))
    for rate in rates:
        setattr(rate.holder, rate.name, 0.0)
    try:
        yield
    finally:
        for rate in rates:
            setattr(rate.holder, rate.name, rate.value)


def _rates(model: nn.Module) -> Iterator[_Rate]:
    configs = {}
    for path, module in model.named_modules():
        if "lora_dropout" in path.split("."):
            continue
        if isinstance(module, _DropoutNd):
            yield _Rate(module, "p", module.p)
        yield from _numbers(module)
        config = getattr(module, "config", None)
        if config is not None:
            # By identity: every layer holds the same object, and a rate noted twice would be put back as 0.
            configs[id(config)] = config
    for config in configs.values():
        yield from _numbers(config)


def _numbers(holder: Any) -> Iterator[_Rate]:
    # By name, as models call it attention_dropout, resid_pdrop, drop_path_rate and more; a float that is 0 needs
    # nothing.
    for name, value in list(vars(holder).items()):
        if "drop" in name and isinstance(value, float) and value:
            yield _Rate(holder, name, value)
