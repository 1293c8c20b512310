"""Files as they lie on disk, whatever they are about: JSON, YAML, gzip, a table that grows."""

from pathlib import Path
from typing import TypeAlias

PathLike: TypeAlias = str | Path
"""A file or a folder."""
