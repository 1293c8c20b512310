"""What LLaMA-Factory's dataset_info.json says of the files beside it: which column is what."""

from collections.abc import Mapping
from pathlib import Path

from factory.files.json_text import read_object

_ROLES = {
    "prompt": "prompt",
    "messages": "prompt",
    "query": "context",
    "history": "history",
    "system": "system",
    "chosen": "chosen",
    "rejected": "rejected",
    "response": "completion",
    "kto_tag": "label",
}


def columns_beside(folder: Path) -> dict[str, Mapping[str, str]]:
    """File name to role to column; empty where there is no such file, or it says nothing of columns."""
    entries = [entry for entry in read_object(folder / "dataset_info.json").values() if isinstance(entry, dict)]
    found: dict[str, Mapping[str, str]] = {}
    for entry in entries:
        columns, name = entry.get("columns"), entry.get("file_name")
        if isinstance(columns, dict) and isinstance(name, str):
            known = {_ROLES[key]: column for key, column in columns.items() if key in _ROLES}
            found[Path(name).name] = {role: column for role, column in known.items() if isinstance(column, str)}
    return found
