"""`look`: how a file is read, and its first pairs, or prompts where it holds no replies; nothing is written."""

from contextlib import suppress
from typing import Any, NamedTuple, Unpack

from factory.errors import ConfigError, InputError
from factory.readers import (
    PairsLike,
    PromptsRead,
    Reading,
    ReadOptions,
    fetched_once,
    how_to_read,
    read_pairs,
    read_prompts,
)
from factory.readers.detection import NoPairsError
from factory.readers.inputs.opened import naming
from factory.readers.reading import SIDES


class Looked(NamedTuple):
    """What there is to see of pairs or prompts."""

    reading: Reading
    pairs: int
    """Rows that are pairs; of prompts, rows that are prompts."""
    first: list[dict[str, Any]]
    """The first of them: pair_id, prompt, chosen, rejected; or prompt_id, prompt."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"reading": self.reading.to_dict(), f"{self.reading.of}s": self.pairs, "first": self.first}


@fetched_once()
def look(
    pairs: PairsLike,
    rows: int = 3,
    *,
    prompts: bool = False,
    **options: Unpack[ReadOptions],
) -> Looked:
    """How files, folders, runs, datasets or frames of pairs are read, how many rows are pairs, and the first `rows`.

    What holds no reply that could be one of a pair is read as prompts, and all else with `prompts`.
    """
    how = how_to_read(options)
    if prompts:
        if how.layout is not None:
            raise ConfigError("--layout names a layout of pairs; leave it out with --prompts")
        return _prompts(read_prompts(pairs, how.columns), rows)
    try:
        found = read_pairs(pairs, how=how)
    except NoPairsError as error:
        # Replies that make no pairs are a fault to be told; a file without any may well be one of prompts.
        if error.replies or how.layout is not None:
            raise
        with suppress(InputError):
            return _prompts(read_prompts(pairs, how.columns), rows)
        raise
    with naming("the pairs"):
        reading = found.reading._replace(set_aside=found.reasons())
        # One column is enough to count rows; all of them would be read for it.
        height = found.kept.select(found.kept.collect_schema().names()[0]).collect(engine="streaming").height
        first = found.kept.select("pair_id", *SIDES).head(rows).collect(engine="streaming").to_dicts()
    return Looked(reading, height, first)


def _prompts(found: PromptsRead, rows: int) -> Looked:
    first = found.kept.select("prompt_id", "prompt").head(rows).to_dicts()
    return Looked(found.reading, found.kept.height, first)
