"""Files as they lie on disk, whatever they are about: JSON, YAML, compressed, a table that grows."""

import os
from pathlib import Path
from typing import TypeAlias

PathLike: TypeAlias = str | Path
"""A file or a folder."""


def cache_folder() -> Path:
    """What is kept between runs, such as converted models: under XDG_CACHE_HOME, else under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sso-factory"
