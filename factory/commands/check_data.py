"""`check-data`: files held against the rules of a format, whoever wrote them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from factory.errors import ConfigError
from factory.exports.check import require
from factory.progress import Progress, Silent
from factory.readers.sources import PairsLike, as_list


class CheckedData(NamedTuple):
    """A file or folder that keeps every rule of a format."""

    path: Path
    format: str
    rows: int


def check_data(
    files: PairsLike | Sequence[PairsLike],
    format: str = "rm",  # noqa: A002
    *,
    keep_system: bool = False,
    progress: Progress | None = None,
) -> list[CheckedData]:
    """Hold files or folders against the rules that the readers of a format have; nothing is written.

    With `keep_system` a conversation of `rm` may begin with a system message. Raises InputError naming the first row
    that breaks a rule, and ConfigError for what is no file.
    """
    shown = progress or Silent()
    checked = []
    for path in as_list(files):
        if not isinstance(path, str | Path):
            raise ConfigError("check-data works on files: give the path of a file or of a folder")
        checked.append(CheckedData(Path(path), format, require(path, format, keep_system=keep_system)))
        shown.say(f"{path}: {checked[-1].rows} rows keep the rules of {format}")
    return checked
