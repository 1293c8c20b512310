"""The YAML head of an export's README.md: which files are which split, and the column types where files do not say."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from typing import Any

import polars as pl
import yaml

from factory.errors import ConfigError

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.\-]*")


def size_category(rows: int) -> str:
    """The Hub's name for a data set of so many rows."""
    small = next((name for limit, name in _SIZES if rows < limit), None)
    return small or ("1M<n<10M" if rows < 10_000_000 else "10M<n<100M" if rows < 100_000_000 else "100M<n<1B")


def configs(patterns: Mapping[str, str]) -> list[dict[str, Any]]:
    """The `configs` entry: split name to glob of its files."""
    files = [{"split": split, "path": pattern} for split, pattern in patterns.items()]
    return [{"config_name": "default", "data_files": files}]


def features(schema: pl.Schema) -> list[dict[str, Any]] | None:
    """The `features` entry for JSON files, whose empty columns have no type; None where a type has no short name."""
    columns = [(name, _feature(kind)) for name, kind in schema.items()]
    return None if any(kind is None for _, kind in columns) else [{"name": n, **(kind or {})} for n, kind in columns]


def _feature(kind: object) -> dict[str, Any] | None:
    if isinstance(kind, pl.List):
        inner = _feature(kind.inner)
        if inner is None:
            return None
        return {"sequence": inner["dtype"] if set(inner) == {"dtype"} else inner}
    names: dict[type, str] = {pl.String: "string", pl.Int64: "int64", pl.Float64: "float64", pl.Boolean: "bool"}
    name = names.get(type(kind))
    return {"dtype": name} if name else None


def front_matter(values: Mapping[str, Any]) -> str:
    """A README.md head between its two lines of dashes."""
    body = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{body}---\n"


def metadata(
    patterns: Mapping[str, str], rows: int, types: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """What the head of every export says, card or not."""
    values: dict[str, Any] = {
        "task_categories": ["text-generation"],
        "tags": ["preference", "reward-model", "rlhf", "dpo", "synthetic", "sso-factory"],
        "size_categories": [size_category(rows)],
        "configs": configs(patterns),
    }
    return {**values, "dataset_info": {"features": list(types)}} if types else values


def require_license(name: str | None) -> None:
    """Raise ConfigError for a licence that is nearly, and not quite, one of the Hub's identifiers."""
    key = license_key(name)
    near = get_close_matches(key, hub_licenses(), n=1, cutoff=0.8) if key and key not in hub_licenses() else []
    if near:
        why = f"license {name!r} is none that the Hub knows: is {near[0]} meant"
        raise ConfigError(f"{why}? Terms of your own take a name of more than one word")


def require_language(codes: Sequence[str]) -> None:
    """Raise ConfigError for a language that is no code of two or three letters."""
    odd = next((code for code in codes if not _LANGUAGE.fullmatch(code)), None)
    if odd is not None:
        raise ConfigError(f"language {odd!r} is no ISO 639 code of two or three letters, such as en; write it so")


def hub_licenses() -> list[str]:
    """The identifiers of licences that the Hub knows."""
    return files("factory.exports").joinpath("templates/hub_licenses.txt").read_text(encoding="utf-8").split()


def license_key(name: str | None) -> str | None:
    """A licence as the Hub spells identifiers (`Apache-2.0` -> `apache-2.0`), or None where it is not one word."""
    key = (name or "").strip().lower()
    return key if _LICENSE.fullmatch(key) else None
