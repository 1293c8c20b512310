"""JSON that may be anything: what cannot be parsed is a ValueError, however deep it is nested."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any


def parsed(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for what is none, and for what is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where there is no such file, or it holds something else."""
    try:
        found = parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in a file of JSON lines, if there is one; other lines, such as a torn one, are passed over."""
    if path.is_file():
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    found = parsed(line)
                    if isinstance(found, dict):
                        yield found


def retold(value: Any, tell: Callable[[str], Any]) -> Any:
    """Plain values with each text in them, keys aside, as `tell` has it."""
    match value:
        case str():
            return tell(value)
        case list() | tuple():
            return [retold(item, tell) for item in value]
        case dict():
            return {key: retold(item, tell) for key, item in value.items()}
    return value
