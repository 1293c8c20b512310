"""Loading a configuration: YAML, `--set` overrides, paths beside the file, and one sentence for what is wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from factory.config import Config
from factory.config.engines import TransformersEngine
from factory.errors import ConfigError, InputError, span
from factory.files import PathLike, at_home
from factory.files.yaml_file import Loader, read_yaml
from factory.strict import first_fault, first_key

_IMPLIED = {"kind": TransformersEngine().kind}
"""What the run's engine is where the file names none and an override sets one of its keys."""
_HEAD = "config.yaml"
"""A run's own configuration, beside its run.json."""
_MOST_VALUES = 100_000
"""Values in a configuration, aliases written out: one that unfolds into more is refused."""

Block = TypeVar("Block", bound=BaseModel)

_PATH_KEYS = ("paths", "path", "files", "prompts", "decontaminate", "mix", "config_file")
"""Keys whose texts are paths, or Hub ids."""
_NAME_OR_PATH_KEYS = ("set", "template", "script", "model", "lora", "weak", "by")
"""Keys whose texts are names, or paths when they look like one."""
_PLACE_KEYS = (*_PATH_KEYS, *_NAME_OR_PATH_KEYS, "dir", "cache_dir")
"""Keys in whose texts `~` is the user's home."""
_SHORT = {"engine": "kind", "prompts": "paths", "judge": "name"}
"""Blocks that may be written as one text, and the key that text stands for."""


def load_config(path: PathLike, sets: Sequence[str] = ()) -> Config:
    """The configuration of a run, from a YAML file and `key.path=value` overrides.

    Overrides take YAML values, make blocks that are missing, and reach into lists by number (`judges.0.name=gpt-4o`).
    A relative path in the file is taken from the file's folder when it exists there, and otherwise from the folder the
    command is started in; paths in overrides are the latter. Names of filters, engines' models and principle sets are
    looked up later. Raises ConfigError in one sentence that names file and key.
    """
    return _load(Path(path), sets, Config)


def as_config(config: Block | Mapping[str, Any] | PathLike, block: type[Block]) -> Block:
    """What a caller gave as a `block`: one as it is, its keys as a mapping, or the path of a YAML file with them.

    The file is read as `load_config` reads a run's configuration; paths in a mapping are from the folder the process
    is in. Raises ConfigError in one sentence that names the key.
    """
    if isinstance(config, block):
        return config
    if isinstance(config, Mapping):
        return _validated(config, block, "config")
    if isinstance(config, str | Path):
        return _load(Path(config), (), block)
    raise ConfigError(f"a {type(config).__name__} is no configuration; give its keys, a {block.__name__} or a path")


def override(values: Mapping[str, Any], sets: Sequence[str], block: type[Block], where: str = "config") -> Block:
    """`values` with overrides, as a `block`; `where` they come from is told of what is wrong with them."""
    for text in sets:
        values = _set(values, text)
    return _validated(values, block, where, sets)


def _load(path: Path, sets: Sequence[str], block: type[Block]) -> Block:
    try:
        raw = read_yaml(path)
    except InputError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(raw, dict):
        kind = "empty" if raw is None else f"a {type(raw).__name__}"
        raise ConfigError(
            f"{path}: must hold keys and values, and is {kind}; start from what `sso-factory init` writes"
        )
    if _endless(raw):
        raise ConfigError(f"{path}: refers to itself, or unfolds into too many values; write it out plainly")
    try:
        return override(_beside(_own(raw, path), path.parent), sets, block, str(path))
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deeply; write it flatter") from error


def _own(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The configuration as it is; of a run's own, from its folder: that folder, and paths from where the run was begun.

    So it goes on from inside the folder, wherever that was moved together with the files it reads.
    """
    run = raw.get("run")
    # Told by the file beside it: another's config.yaml is no run's.
    if path.name != _HEAD or not (path.parent / "run.json").is_file() or not isinstance(run, dict):
        return raw
    folder, written = path.parent.resolve(), Path(str(run.get("dir") or "."))
    mine = {**raw, "run": {**run, "dir": str(path.parent)}}
    if written.is_absolute() or folder.parts[-len(written.parts) :] != written.parts:
        return mine
    began = Path(*folder.parts[: -len(written.parts)])
    here = {**mine, "run": {**mine["run"], "dir": "."}}  # no path of its own is looked for in the other place
    return {**_beside(here, began), "run": mine["run"]}


def _endless(value: Any) -> bool:
    """Whether aliases make the configuration larger than any that is meant."""
    # Counted, and only so far: ten aliases of ten, ten deep, are a page of YAML and ten thousand million
    # values; one that holds itself never ends.
    left, stack = _MOST_VALUES, [value]
    while stack and left:
        inside = stack.pop()
        left -= 1
        if isinstance(inside, dict | list):
            stack += inside.values() if isinstance(inside, dict) else inside
    return not left


def _beside(value: Any, folder: Path, key: str = "") -> Any:
    """`value` with each relative path that exists beside the configuration file pointed there."""
    if isinstance(value, dict):
        return {name: _beside(item, folder, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_beside(item, folder, key) for item in value]
    # No file is called so: a path with a zero byte is a ValueError to the system calls, and what has :// is a URL.
    if not isinstance(value, str) or not value or "\0" in value or "://" in value:
        return value
    if key == "mix" and "=" in value:  # PATH=SHARE
        path, _, share = value.rpartition("=")
        return f"{_beside(path, folder, key)}={share}"
    looks = key in _PATH_KEYS or (
        key in _NAME_OR_PATH_KEYS and ("/" in value or value.endswith((".yaml", ".yml", ".jsonl")))
    )
    try:
        found = looks and not Path(value).is_absolute() and (folder / value).exists()
    except OSError:  # longer than a name may be, which exists() does not take for an answer
        return value
    return str(folder / value) if found else value


def _at_home(value: Any, key: str = "") -> Any:
    """`value` with the user's home in place of each `~` that a path begins with."""
    # As polars and model loaders read it, too: a folder that is really called so would be another place to them.
    if isinstance(value, dict):
        return {name: _at_home(item, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_at_home(item, key) for item in value]
    return at_home(value) if isinstance(value, str) and key in _PLACE_KEYS else value


def _set(raw: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The raw configuration with one `key.path=value` applied."""
    path, equals, written = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {text}: write it as key.path=value, such as sampling.temperature=0.5")
    try:
        # `key=` empties a key, as `key:` does in YAML.
        value = yaml.load(written, Loader=Loader) if written.strip() else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"--set {text}: the value is not YAML; quote it if it is meant as a text") from error
    made: dict[str, Any] = _put(dict(raw), (), keys, value, text)
    return made


def _put(inside: Any, above: tuple[str, ...], keys: Sequence[str], value: Any, text: str) -> Any:
    """`inside`, which stands at the keys `above`, with the value put where further `keys` lead; made if missing."""
    if not keys:
        return value
    key, *rest = keys
    name = above[-1] if above else ""
    if inside is None:
        # A number can only be meant for a list, as no block has a key of digits.
        inside = [] if key.isdigit() else dict(_IMPLIED) if above == ("engine",) else {}
    elif isinstance(inside, str):
        short = _SHORT.get("judge" if name.isdigit() else name)
        if short is None:
            raise ConfigError(f"--set {text}: {name} is the text {inside!r} and has no keys; set it as a whole")
        inside = {short: inside}
    elif not isinstance(inside, dict | list):
        raise ConfigError(f"--set {text}: {name} is {inside!r} and has no keys; set it as a whole")
    if isinstance(inside, dict):
        return {**inside, key: _put(inside.get(key), (*above, key), rest, value, text)}
    if not key.isdigit() or int(key) > len(inside):
        raise ConfigError(f"--set {text}: {name} is a list of {len(inside)}; its numbers are {span(0, len(inside))}")
    at = int(key)
    former = inside[at] if at < len(inside) else None
    return [*inside[:at], _put(former, (*above, key), rest, value, text), *inside[at + 1 :]]


def _validated(raw: Mapping[str, Any], block: type[Block], where: str, sets: Sequence[str] = ()) -> Block:
    try:
        return block.model_validate(_at_home(raw))
    except ValidationError as error:
        # Only pydantic knows what is wrong, and only after all overrides: whose fault it was is told by the key.
        to_blame = _override_of(first_key(error, block), sets)
        place = where if to_blame is None else f"--set {to_blame}"
        raise ConfigError(f"{place}: {first_fault(error, block)}") from error
    except TypeError as error:
        raise ConfigError(f"{where}: cannot be read as a configuration ({error}); check its keys") from error


def _override_of(key: str, sets: Sequence[str]) -> str | None:
    """The last override that reaches `key`, or what stands in it or around it."""
    # The last that reaches it is the one that stands.
    for text in reversed(sets):
        path = text.partition("=")[0].strip()
        if f"{key}.".startswith(f"{path}.") or f"{path}.".startswith(f"{key}."):
            return text
    return None
