"""`check-data`: files held against the rules of a format, and against what its trainers drop or cut at a length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from factory.errors import ConfigError
from factory.exports.check import require
from factory.exports.check.predict import Prediction, predict
from factory.exports.check.trainers.base import Tokenizer
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.readers.inputs.sources import PairsLike, as_list
from factory.training import with_extra


class CheckedData(NamedTuple):
    """A file or folder that keeps every rule of a format."""

    path: Path
    format: str
    rows: int
    predictions: Sequence[Prediction] = ()
    """What each trainer makes of its pairs, where a tokenizer and a length were given."""

    @property
    def summary(self) -> str:
        """In a sentence."""
        return f"{self.path}: {self.rows:,} rows keep the rules of {self.format}"


def check_data(
    files: PairsLike,
    format: str = "rm",
    *,
    keep_system: bool = False,
    tokenizer: str | Tokenizer | None = None,
    max_length: int | None = None,
    progress: Progress | None = None,
) -> list[CheckedData]:
    """Hold files or folders against the rules that the readers of a format have; nothing is written.

    With `keep_system` a conversation of `rm` may begin with a system message. With `tokenizer` (a model's name, folder
    or bundled:…, or a transformers tokenizer) and `max_length`, every pair is read as each trainer reads it, and the
    predictions say which it drops, cuts or makes identical. Raises InputError naming the first row that breaks a rule,
    and ConfigError for what is no file, or a format whose trainers are not known.
    """
    shown = progress or Silent()
    if (tokenizer is None) != (max_length is None):
        raise ConfigError("--tokenizer and --max-length go together: what is cut depends on both")
    if max_length is not None and max_length < 1:
        raise ConfigError(f"--max-length {max_length}: give at least 1 token")
    checked = []
    for path in as_list(files):
        if not isinstance(path, str | Path):
            raise ConfigError("check-data works on files: give the path of a file or of a folder")
        # As a path it is the folder one is in.
        if path == "":
            raise ConfigError("'' is no path; check it")
        checked.append(CheckedData(Path(path), format, require(path, format, keep_system=keep_system)))
        shown.say(f"{path}: {checked[-1].rows} rows keep the rules of {format}")
    if tokenizer is None or max_length is None:
        return checked
    # By name, and only now: transformers takes seconds to load, and the rules need none of it.
    known: Any = tokenizer
    if isinstance(tokenizer, str):
        known = with_extra("factory.models.load:load_tokenizer", "train")(ModelRef(tokenizer))
    return [one._replace(predictions=predict(one.path, format, known, max_length)) for one in checked]
