"""Content hashes: one canonical form for whatever is hashed, and the ids of prompts and pairs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

DEFAULT_SEED = 42
"""The seed of a run or command that names none."""

Messages = Sequence[Mapping[str, str]]
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def replace_surrogates(text: str) -> str:
    """`text` with each lone surrogate, which no UTF-8 file can hold, replaced by U+FFFD."""
    # Through UTF-16, in which two surrogates that belong together are one character and stay.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def without_user(url: str) -> str:
    """`url` without the name and password before its host."""
    head, mark, rest = url.partition("//")
    host, slash, path = rest.partition("/")
    return head + mark + host.rpartition("@")[2] + slash + path


def digest(value: object) -> str:
    """128-bit hash, as 32 hex digits, of the canonical JSON of `value` (sorted keys, no spaces, UTF-8)."""
    # Lone surrogates, which a file or a model may hold, have no UTF-8; they are hashed as the three bytes they would
    # be.
    return hashlib.blake2b(_CANONICAL.encode(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def model_fingerprint(folder: Path) -> str:
    """Hash of all that decides what the model in `folder` says: weights, configuration, tokenizer, template."""
    hashes = {}
    for path in sorted(folder.iterdir()):
        # These hold the fingerprint itself.
        record = path.name in ("policy.json", "reward.json")
        if path.suffix in (".safetensors", ".json", ".jinja", ".model", ".txt") and not record:
            with path.open("rb") as file:
                hashes[path.name] = hashlib.file_digest(file, "blake2b").hexdigest()
    return digest(hashes)


def draw(*parts: object) -> int:
    """A 63-bit number that depends on `parts` alone: the source of every seed, portion and coin."""
    # 63 bits, which a signed 64-bit column and any library's seed can hold.
    return int(digest(list(parts))[:16], 16) >> 1


def _turns(prompt: Messages) -> list[list[str]]:
    return [[turn["role"], turn["content"]] for turn in prompt]


def prompt_id(prompt: Messages) -> str:
    """Id of a prompt: the hash of its roles and contents, in order."""
    return digest(_turns(prompt))


def pair_id(prompt: Messages, chosen: str, rejected: str) -> str:
    """Id of a pair: the hash of prompt, chosen and rejected."""
    return digest([_turns(prompt), chosen, rejected])


def versions() -> dict[str, str]:
    """Versions of the packages that decide what comes out."""
    # Here, as it loads a parser of mail.
    from importlib import metadata

    found = {}
    for package in ("polars", "datasets", "openai", "torch", "transformers", "vllm", "ray", "trl"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
