"""Pair by pair, what each trainer that reads a format will drop, cut or make identical at a length."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from factory.errors import ConfigError, first_line
from factory.exports.check.trainers import TRAINERS
from factory.exports.check.trainers.base import EFFECTS, FAILS, TRAINS, Cells, Tokenizer, Trainer
from factory.files.rows import rows


class Affected(NamedTuple):
    """A pair that a trainer does not train on as it is."""

    trainer: str
    file: Path
    row: int
    """From 1."""
    pair_id: str | None
    effect: str
    """cut, identical (also after a cut), dropped or fails."""
    why: str
    chosen_tokens: int
    rejected_tokens: int


class Prediction(NamedTuple):
    """What a trainer makes of the pairs of a file."""

    trainer: str
    version: str
    rows: int
    effects: dict[str, int]
    """Effect to pairs; each pair counts once, under the worst that becomes of it."""
    affected: list[Affected]
    """The pairs, in the order of the file."""

    @property
    def first(self) -> str:
        """The first of them, in words."""
        one = next(iter(self.affected), None)
        return "" if one is None else f"row {one.row}: {one.effect}, {one.why}"


def predict(path: Path, format: str, tokenizer: Tokenizer, max_length: int) -> list[Prediction]:
    """What each trainer of `format` makes of every row of a file or folder that keeps the rules of the format.

    Raises ConfigError for a format that no trainer of which the reading is known reads.
    """
    trainers = [trainer for trainer in TRAINERS if format in trainer.formats]
    if not trainers:
        known = ", ".join(sorted({name for trainer in TRAINERS for name in trainer.formats}))
        raise ConfigError(f"what trainers make of {format} is not known; it is of {known}")
    # By name, so that one pass over the rows serves all trainers.
    found: dict[str, list[Affected]] = {trainer.name: [] for trainer in trainers}
    seen = 0
    for row in rows(path):
        seen += 1
        for trainer in trainers:
            for effect, why, chosen, rejected in _of(trainer, row.cells, tokenizer, max_length):
                pair_id = row.cells.get("pair_id")
                found[trainer.name].append(
                    Affected(trainer.name, row.file, row.number, pair_id, effect, why, chosen, rejected)
                )
    counts = {name: Counter(one.effect for one in affected) for name, affected in found.items()}
    effects = {name: {effect: counted[effect] for effect in EFFECTS} for name, counted in counts.items()}
    return [Prediction(one.name, one.version, seen, effects[one.name], found[one.name]) for one in trainers]


def _of(trainer: Trainer, cells: Cells, tokenizer: Tokenizer, max_length: int) -> Iterator[tuple[str, str, int, int]]:
    from jinja2 import TemplateError

    try:
        made = trainer.prepare(cells, tokenizer, max_length)
    # What a chat template, or a trainer, raises for a conversation that it does not know.
    except (TemplateError, TypeError, ValueError) as error:
        yield FAILS, f"it ends there: {first_line(error)}", 0, 0
        return
    if made.effect != TRAINS:
        words = {"cut": f"cut to {max_length} tokens", "identical": "both sides are the same tokens"}
        yield made.effect, made.dropped or words[made.effect], len(made.chosen), len(made.rejected)
