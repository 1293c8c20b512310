"""croissant.json: what an export is, in MLCommons' Croissant 1.1: files, columns, where it is from, what it is for.

The format: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html, with provenance in W3C's PROV-O and the
fields of the extension for responsible AI, `rai:`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from factory.exports.card.facts import CardFacts
from factory.exports.card.provenance import provenance, responsible
from factory.exports.facts.making import CITATION, PRINCIPLES
from factory.exports.pages.document import source_of, today
from factory.identity import digest

_TYPES: Mapping[Any, str | None] = {
    pl.Boolean: "sc:Boolean",
    pl.Datetime: "sc:DateTime",
    pl.Date: "sc:Date",
    pl.Time: "sc:Time",
    **dict.fromkeys((pl.Duration, pl.Struct)),
}
_TERMS = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty"),
    *("fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
    *("separator", "source", "subField", "transform"),
)
CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_SPLITS, _ROWS, _FILES = "splits", "default", "files"
_FROM_FILES = {"fileSet": {"@id": _FILES}}


def croissant(facts: CardFacts, folder: Path, files: Sequence[str], schema: pl.Schema) -> str:
    """The description of an export as JSON-LD; `files` are its data files within `folder`, with columns of `schema`."""
    kind = "application/x-parquet" if files[0].endswith(".parquet") else "application/json"
    # Of a folder no address can be given; the place is then a stand-in for its path.
    hub = "/" in facts.place and facts.place == facts.place.strip() and not facts.place.startswith("PATH/")
    day = facts.run.finished if facts.run else None
    kept = f"{facts.pairs.pairs:,} preference pairs over {facts.pairs.prompts:,} prompts"
    together = _named("FileSet", _FILES, "All files of the data set.", encodingFormat=kind, includes=list(files))
    described: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": facts.title,
        "description": f"{kept}, in the format {facts.format} of sso-factory: of two replies to a prompt chosen is the "
        "better one.",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        **({"citeAs": CITATION} if facts.run and facts.run.maker == PRINCIPLES else {}),
        "license": facts.options.license or "no licence stated",
        "datePublished": day or today(),
        "version": "1.0.0",
        "keywords": facts.written.metadata["tags"],
        **({"url": f"https://huggingface.co/datasets/{facts.place}"} if hub else {}),
        **({"creator": {"@type": "sc:Organization", "name": facts.place.split("/")[0]}} if hub else {}),
        **provenance(facts),
        **responsible(facts),
        "distribution": [*(_file(folder, name, kind) for name in files), together],
        "recordSet": [_splits(facts.written.rows), _rows(schema, facts, kind)],
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def _named(kind: str, name: str, description: str | None = None, **more: Any) -> dict[str, Any]:
    """A node that is called as its @id is."""
    told = {} if description is None else {"description": description}
    return {"@type": f"cr:{kind}", "@id": name, "name": name, **told, **more}


def _file(folder: Path, name: str, kind: str) -> dict[str, Any]:
    path = folder / name
    # The size is a text with its unit, as schema.org has it.
    facts = {"contentSize": f"{path.stat().st_size} B", "encodingFormat": kind, "sha256": source_of(path).sha256}
    return _named("FileObject", name, contentUrl=name, **facts)


def _splits(rows: Mapping[str, int]) -> dict[str, Any]:
    name = f"{_SPLITS}/name"
    return {
        **_named("RecordSet", _SPLITS, "The splits; none shares a prompt with another.", dataType="cr:Split"),
        "key": {"@id": name},
        "field": [{"@type": "cr:Field", "@id": name, "name": "name", "dataType": "sc:Text"}],
        "data": [{name: split} for split in rows],
    }


def _rows(schema: pl.Schema, facts: CardFacts, kind: str) -> dict[str, Any]:
    split = {
        "@type": "cr:Field",
        "@id": f"{_ROWS}/split",
        "name": "split",
        "description": "The split of the row, by the name of its file.",
        "dataType": "sc:Text",
        "references": {"field": {"@id": f"{_SPLITS}/name"}},
        "source": {
            **_FROM_FILES,
            "extract": {"fileProperty": "fullpath"},
            # data/train-00000-of-….parquet, train/train-….parquet or train.json, as an export names its files.
            "transform": {"regex": "^(?:.*/)?(train|test)[-.].*$"},
        },
    }
    fields = [_field(name, dtype, facts.columns.get(name) or name, kind) for name, dtype in schema.items()]
    said = f"A row for each pair, {sum(facts.written.rows.values()):,} in all."
    return _named("RecordSet", _ROWS, said, field=[*([split] if "split" not in schema else []), *filter(None, fields)])


def _field(name: str, dtype: pl.DataType, meaning: str, kind: str) -> dict[str, Any] | None:
    column = {"column": name} if kind.endswith("parquet") else {"jsonPath": f"$[*].{_step(name)}"}
    source = {**_FROM_FILES, "extract": column}
    # A list of messages is a repeated field with sub-fields, and no type of its own.
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    found: dict[str, Any] = {"@type": "cr:Field", "@id": _id(name), "name": name, "description": meaning}
    if isinstance(dtype, pl.List):
        found["repeated"] = True
    if isinstance(inner, pl.Struct):
        found["subField"] = [
            {
                "@type": "cr:Field",
                "@id": _id(name, part.name),
                "name": part.name,
                "dataType": _type(part.dtype),
                "source": {**source, "transform": {"jsonPath": _step(part.name)}},
            }
            for part in inner.fields
            if _type(part.dtype)
        ]
        return found if found["subField"] else None
    told = _type(inner)
    return {**found, "dataType": told, "source": source} if told else None


def _id(*names: str) -> str:
    # No space may stand in an @id, not even escaped; the digest tells `a b` from a column a-b.
    told = (f"{'-'.join(name.split())}-{digest(name)[:8]}" if re.search(r"\s", name) else name for name in names)
    return "/".join([_ROWS, *told])


def _step(name: str) -> str:
    """A name as a step of a JSON path, in quotes where it is no plain word."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else json.dumps(name, ensure_ascii=False)


def _type(dtype: Any) -> str | None:
    """Croissant's name of a type; None for what it has none for: spans of time, and objects inside of objects."""
    if isinstance(dtype, pl.List | pl.Array):
        return _type(dtype.inner)
    if dtype.is_integer():
        return "sc:Integer"
    if dtype.is_float() or dtype.is_decimal():
        return "sc:Float"
    return _TYPES.get(dtype.base_type(), "sc:Text")
