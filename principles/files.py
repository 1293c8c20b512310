"""Data files of this package: how a name or a path becomes a validated model, or one sentence about what is wrong."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from factory.errors import InputError
from factory.files.yaml_file import read_yaml
from factory.strict import said_of

Model = TypeVar("Model", bound=BaseModel)

Place = Callable[[tuple[int | str, ...], Any], str]
"""Turns where pydantic found a fault, and the file's raw value, into words."""


def locate(name_or_path: str | Path, folder: Path, what: str) -> Path:
    """The file meant: a path when it looks like one (a slash or .yaml in it), else `NAME.yaml` in `folder`."""
    text = str(name_or_path)
    # Told by its look, not by what is there: a file in the current folder must not take a set's name away.
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or text.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if text not in known:
        raise InputError(f"no {what} is called {text!r}: give one of {', '.join(known)}, or the path of a .yaml file")
    return folder / f"{text}.yaml"


def read(name_or_path: str | Path, folder: Path, what: str, model: type[Model], place: Place) -> Model:
    """The file meant, as `model`; one of `folder`, the package's own, is read once: a run asks for it dozens of times.

    `place` names where a fault is, as for `validated`.
    """
    path = locate(name_or_path, folder, what)
    return _own(path, model, place) if path.parent == folder else validated(path, model, place)


@cache
def _own(path: Path, model: type[Model], place: Place) -> Model:
    return validated(path, model, place)


def validated(path: Path, model: type[Model], place: Place) -> Model:
    """The file's content as `model`; InputError names the file, the place and what is wrong there."""
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise InputError(f"{path}: must be a mapping of keys to values, and is {type(raw).__name__}")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        where = place(faults[0]["loc"], raw)
        more = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
        raise InputError(f"{path}: {where}{_words(faults[0])}{more}") from error


def _words(fault: ErrorDetails) -> str:
    known = {"missing": "is missing; add it", "extra_forbidden": "is not a key that is known here; remove or rename it"}
    return known.get(fault["type"], said_of(fault))


def dotted(loc: tuple[int | str, ...]) -> str:
    """`good.principle: ` for a place inside a mapping, nothing for the mapping itself."""
    return ".".join(str(part) for part in loc) + ": " if loc else ""
