"""The YAML head of an export's README.md: which files are which split, and the column types where files do not say."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import yaml

_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")


def size_category(rows: int) -> str:
    """The Hub's name for a data set of so many rows."""
    return next((name for power, name in enumerate(_SIZES, 3) if rows < 10**power), _SIZES[-1])


def configs(patterns: Mapping[str, str]) -> list[dict[str, Any]]:
    """The `configs` entry: split name to glob of its files."""
    files = [{"split": split, "path": pattern} for split, pattern in patterns.items()]
    return [{"config_name": "default", "data_files": files}]


def features(schema: pl.Schema) -> list[dict[str, Any]] | None:
    """The `features` entry for JSON files, whose empty columns have no type; None where a type has no short name."""
    # JSON has no types: `datasets` would take a column that is empty in its first rows for one of nulls.
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
