"""`look`: how a file is read, and its first pairs; nothing is written."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

from factory.readers import PairsLike, Reading, ReadOptions, how_to_read, read_pairs
from factory.readers.opened import naming
from factory.readers.reading import SIDES


class Looked(NamedTuple):
    """What there is to see of pairs."""

    reading: Reading
    pairs: int
    """Rows that are pairs."""
    first: list[dict[str, Any]]
    """The first of them: pair_id, prompt, chosen, rejected."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"reading": self.reading.to_dict(), "pairs": self.pairs, "first": self.first}


def look(
    pairs: PairsLike | Sequence[PairsLike],
    rows: int = 3,
    **options: Unpack[ReadOptions],
) -> Looked:
    """How files, folders, runs, datasets or frames of pairs are read, how many rows are pairs, and the first `rows`."""
    found = read_pairs(pairs, how=how_to_read(options))
    with naming("the pairs"):
        reading = found.reading._replace(set_aside=found.reasons())
        height = found.kept.select(found.kept.collect_schema().names()[0]).collect(engine="streaming").height
        first = found.kept.select("pair_id", *SIDES).head(rows).collect(engine="streaming").to_dicts()
    return Looked(reading, height, first)
