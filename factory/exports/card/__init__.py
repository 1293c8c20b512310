"""The dataset card: README.md from the numbers of the export and, where there is one, of its run."""

import re
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from factory.exports.card.croissant import croissant
from factory.exports.card.facts import CardFacts
from factory.exports.card.licenses import hub_licenses, license_key
from factory.exports.card.plots import draw_plots
from factory.exports.card.recipes import recipes
from factory.exports.destinations.write import (
    BY,
    CROISSANT,
    README,
    TAGS,
    front_matter,
    is_shard,
    may_write,
    staging_of,
)
from factory.exports.facts.making import CITATION, making_of
from factory.exports.facts.public import public_name
from factory.exports.pages.markdown import Safe, environment, level, without_empty_columns
from factory.files.rows import rows
from factory.store.ownership import Record

if TYPE_CHECKING:
    from jinja2 import Template

_FIRST = 1_000
"""Rows of a JSON file that tell its columns."""


def write_card(facts: CardFacts, folder: Path) -> list[Path]:
    """Write README.md, its plots and croissant.json into the folder of an export.

    A README.md that somebody wrote is left alone.
    """
    record = Record.read(folder)
    staging = staging_of(record)
    drawn = draw_plots(facts, staging / "plots")
    named = {path.stem: f"plots/{path.name}" for path in drawn}
    if may_write(record, README):
        (staging / README).write_text(card(facts._replace(plots=named)), encoding="utf-8")
    files = sorted(name for name in record.made_by(BY) if is_shard(name))
    if files:
        (staging / CROISSANT).write_text(croissant(facts, folder, files, _schema(folder / files[0])), encoding="utf-8")
    return [folder / name for name in record.publish(staging, folder, BY, besides=True).outputs]


def _schema(file: Path) -> pl.Schema:
    if file.suffix == ".parquet":
        # The footer alone is read.
        return pl.scan_parquet(file, glob=False).collect_schema()
    # By all of them: by its first rows a column that is empty there would have no type.
    return pl.DataFrame([row.cells for row in islice(rows(file), _FIRST)], infer_schema_length=None).schema


def card(facts: CardFacts) -> str:
    """README.md: the head that the Hub reads, then what people read."""
    body = _template().render(
        c=facts,
        run=facts.run,
        audit=facts.run.audit if facts.run else None,
        recipes=recipes(facts.format, facts.place),
        making=making_of(facts.run.maker, facts.run.config) if facts.run else None,
        citation=CITATION,
        comma=Safe(", "),
        apart=(facts.run.config.get("training") or {}).get("generator") == "separate" if facts.run else False,
        trained=(facts.run.config.get("training") or {}).get("method") != "none" if facts.run else False,
    )
    return front_matter(head(facts)) + without_empty_columns(body)


@cache
def _template() -> "Template":
    """Compiled once: it takes as long as drawing a plot, and a run writes a card for each of its exports."""
    made = environment()
    made.filters.update(public=public_name, first_few=lambda values: list(islice(values, 8)), code=_code, ours=Safe)
    return made.get_template("card.md.jinja")


def head(facts: CardFacts) -> dict[str, Any]:
    """The front matter as a mapping."""
    values: dict[str, Any] = {"pretty_name": facts.title, **_license(facts.options.license)}
    if facts.options.language:
        values["language"] = facts.options.language
    if facts.run is None:
        return {**values, **facts.written.metadata}
    values["annotations_creators"] = ["machine-generated"]
    values["language_creators"] = ["machine-generated"]
    return {**values, **facts.written.metadata, "tags": [*TAGS, "synthetic"]}


def _license(license: str | None) -> dict[str, str]:
    """The Hub takes its own identifiers; any other licence is `other` with its name."""
    if not license:
        return {}
    key = license_key(license)
    if key in hub_licenses():
        return {"license": str(key)}
    # The Hub takes an id there, not a name: letters, digits, dots and hyphens.
    name = re.sub(r"[^a-z0-9.]+", "-", license.lower()).strip("-.")
    return {"license": "other", "license_name": name[:60] or "own-terms"}


def _code(text: str) -> Safe:
    """A name as a code span, which knows no escapes, in a table cell or out of it."""
    # A backtick would end the span, and a bar the table cell.
    return Safe("`" + " ".join(level(str(text)).replace("`", "'").split()).replace("|", "\\|") + "`")
