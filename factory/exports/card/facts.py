"""What the dataset card is made from; an export of bare pair files has no run, and says so."""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl

from factory.config import Export
from factory.errors import excerpt
from factory.exports import exporter
from factory.exports.destinations.write import INFO, Exported
from factory.exports.facts import PairFacts, pair_facts
from factory.exports.facts.models import RunFacts
from factory.exports.facts.recipe import whole
from factory.exports.facts.run import run_facts
from factory.files.json_text import retold
from factory.files.rows import rows
from factory.identity import draw
from factory.schema import SCORES
from filters.confounds import confounds, sentences

_CELL = 300
_OWN = {
    "chosen": "the preferred reply; in rm the whole conversation that ends with it",
    "rejected": "the other reply; in rm the whole conversation that ends with it",
    "prompt": "the conversation up to the reply",
    "instruction": "the last user turn",
    "input": "the user turn",
    "system": "the prompt's own system message, empty where it has none",
    "history": "the rounds before the last user turn",
    "completion": "a reply",
    "label": "whether the reply is the preferred one",
    "reference": "the reply to imitate: the preferred one",
    "privileged_context": "what the teacher alone is told: the good system message",
}


class CardFacts(NamedTuple):
    """Everything a card says."""

    format: str
    options: Export
    title: str
    place: str
    """Repository or folder, for the loading recipes."""
    written: Exported
    columns: dict[str, str]
    """Name to meaning."""
    example: str
    """A row as JSON, long texts cut."""
    pairs: PairFacts
    confounds: list[str]
    """What of the replies' form predicts chosen, a sentence each."""
    mixed: Mapping[str, int]
    """File that was mixed in to the pairs taken from it."""
    run: RunFacts | None
    recipe: dict[str, Any]
    """What makes the pairs again, as `factory.exports.facts.recipe` has it; empty without a run."""
    plots: Mapping[str, str] = MappingProxyType({})
    """Name to path within the folder."""


def card_facts(
    written: Exported,
    format: str,
    options: Export | None = None,
    *,
    run_root: Path | None = None,
    mixed: Mapping[str, int] | None = None,
    seed: int = 42,
) -> CardFacts:
    """Collect what a card says of an export that was just written; the pairs are counted in its files."""
    options = options or Export()
    run = run_facts(run_root) if run_root is not None else None
    pairs, place = read_back(written, exporter(format).replies), options.push_to_hub
    return CardFacts(
        format=format,
        options=options,
        title=place.rsplit("/", 1)[-1] if place else f"{run.name if run else 'Preference pairs'} ({format})",
        place=place or "PATH/TO/THIS/FOLDER",
        written=written,
        columns=_columns(written.columns, written.renamed),
        example=_example(written, seed),
        pairs=pair_facts(pairs),
        confounds=sentences(confounds(pairs)),
        mixed=mixed or {},
        run=run,
        recipe=whole(run, format, options) if run else {},
    )


def read_back(written: Exported, replies: tuple[str, str] = ("chosen", "rejected")) -> pl.LazyFrame:
    """The rows of an export with `chosen` and `rejected` as the texts of the replies, from the columns `replies`."""
    if written.pairs is not None:
        return written.pairs
    files = [path for path in written.files if path.suffix in (".parquet", ".json") and path.name != INFO]
    if files[0].suffix == ".parquet":
        frame = pl.scan_parquet(files, glob=False)
    else:
        frame = pl.concat(
            [pl.read_json(path, infer_schema_length=None) for path in files], how="diagonal_relaxed"
        ).lazy()
    kinds = frame.collect_schema()
    texts = (
        pl.col(name).list.last().struct.field("content") if isinstance(kinds[name], pl.List) else pl.col(name)
        for name in replies
    )
    return frame.with_columns(**dict(zip(("chosen", "rejected"), texts, strict=True)))


def _columns(names: list[str], renamed: Mapping[str, str]) -> dict[str, str]:
    known = {name: column.meaning for name, column in SCORES.columns.items()} | _OWN
    # The card explains a column by the name that the user knows.
    called = {new: f", there called {old}" for old, new in renamed.items()}
    return {name: known.get(name, f"from the input{called.get(name, '')}") for name in names}


def _example(written: Exported, seed: int) -> str:
    """One of the first rows, by draw, as it is in the file but for long texts and empty cells."""
    first = [row.cells for row in islice(rows(written.files[0]), 50)]
    # By a draw of the pair, so that formats which hold it among their first rows show the same one.
    cells = min(first, key=lambda row: draw(seed, "example", row["pair_id"]))
    shown = retold({key: value for key, value in cells.items() if value is not None}, lambda text: excerpt(text, _CELL))
    return json.dumps(shown, ensure_ascii=False, indent=1, default=str)
