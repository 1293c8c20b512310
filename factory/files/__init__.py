"""Files as they lie on disk, whatever they are about: JSON, YAML, compressed, a table that grows."""

import os
from pathlib import Path
from typing import TypeAlias, TypeVar

PathLike: TypeAlias = str | Path
"""A file or a folder."""
_Path = TypeVar("_Path", bound=PathLike)


def cache_folder() -> Path:
    """What is kept between runs, such as converted models: under XDG_CACHE_HOME, else under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sso-factory"


def at_home(path: _Path) -> _Path:
    """`path` with the user's home in place of the `~` that it begins with."""
    return type(path)(Path(path).expanduser()) if Path(path).parts[:1] == ("~",) else path
