"""The YAML head of an export's README.md: which files are which split, and the column types where files do not say."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import yaml

_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")


_TYPES: Mapping[type, str] = {pl.String: "string", pl.Int64: "int64", pl.Float64: "float64", pl.Boolean: "bool"}
"""What `json_columns` leaves, beside lists of it, to the name that `datasets` has for it."""


def features(schema: pl.Schema) -> list[dict[str, Any]]:
    """The `features` entry for JSON files: a name and a type for each column."""
    # JSON has no types: `datasets` would take a column that is empty in its first rows for one of nulls.
    return [{"name": name, **_feature(kind)} for name, kind in schema.items()]


def _feature(kind: object) -> dict[str, Any]:
    if isinstance(kind, pl.List):
        inner = _feature(kind.inner)
        # As the Hub writes it: the bare name of a type in place of a mapping that holds nothing else.
        return {"sequence": inner.get("dtype", inner)}
    return {"dtype": _TYPES[type(kind)]}


def front_matter(values: Mapping[str, Any]) -> str:
    """A README.md head between its two lines of dashes."""
    # width: a line that YAML folds is the same to a reader of YAML, and two to whoever looks for one.
    body = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{body}---\n"


def metadata(
    patterns: Mapping[str, str], rows: int, types: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """What the head of every export says, card or not; `patterns`: split to the glob of its files."""
    size = next((name for power, name in enumerate(_SIZES, 3) if rows < 10**power), _SIZES[-1])
    files = [{"split": split, "path": pattern} for split, pattern in patterns.items()]
    return {
        "task_categories": ["text-generation"],
        "tags": ["preference", "reward-model", "rlhf", "dpo", "synthetic", "sso-factory"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": files}],
        **({"dataset_info": {"features": list(types)}} if types else {}),
    }
