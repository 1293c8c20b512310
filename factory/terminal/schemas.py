"""What `--json` prints, as a JSON schema for each command: written into docs/schemas by `python -m` this module."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import polars as pl
from pydantic import BaseModel

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {str: "string", Path: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
Schema = dict[str, Any]


def schemas() -> dict[str, Schema]:
    """Command, as in its file's name, to the schema of what it prints with --json."""
    import factory
    from factory.commands.look import Looked
    from factory.commands.status import StageStatus
    from factory.exports.facts.bill import Bill
    from factory.exports.report.comparison import Comparison
    from factory.pipeline import Outcome
    from factory.runs.forecast import Plan
    from filters.funnel import Funnel

    written: dict[Any, Schema] = {Outcome: _outcome(), Funnel: _funnel(), Looked: _looked()}
    found = {
        "run": _any(written[Outcome], of(Plan)),
        "filter": written[Funnel],
        "look": written[Looked],
        "status": _record({"stages": of(list[StageStatus]), "bill": of(Bill)}),
        "report": _any(of(Path), of(Comparison)),
        "reward score": _scored(),
    }
    alike = ["init", "check", "audit", "review", "export", "train", "explain", "trace", "answers", "reproduce"]
    for name in [*alike, "check-data", "reward train"]:
        found[name] = of(get_type_hints(getattr(factory, re.sub(r"\W", "_", name)))["return"])
    return {name: {"$schema": _DIALECT, "title": f"sso-factory {name} --json", **one} for name, one in found.items()}


def of(kind: Any) -> Schema:
    """The schema of a type as it is printed: records by their field names, frames as rows, paths as texts."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, UnionType):
        return _any(*map(of, inner))
    if kind is pl.DataFrame:
        return {"type": "array", "items": {"type": "object"}}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _record({name: of(field.annotation) for name, field in kind.model_fields.items()})
    # In the order in which `show.as_json` looks at values.
    if hasattr(kind, "to_dict"):
        return {"type": "object"}
    if isinstance(kind, type) and hasattr(kind, "_fields"):
        fields = {name: of(hint) for name, hint in get_type_hints(kind).items() if name in kind._fields}
        return _record({**fields, **({"total": {}} if hasattr(kind, "total") else {})})
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": of(inner[1])}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return {"type": "array", "items": of(inner[0])}
    return {}


def _any(*choices: Schema) -> Schema:
    return {"anyOf": list(choices)}


def _record(fields: Mapping[str, Schema], optional: Sequence[str] = (), *, more: Schema | bool = True) -> Schema:
    """An object with these fields; `more` is what others may be, none where it is False."""
    needed = [name for name in fields if name not in optional]
    found: Schema = {"type": "object", "properties": dict(fields), "required": needed}
    return found if more is True else {**found, "additionalProperties": more}


def _list(one: Schema) -> Schema:
    return {"type": "array", "items": one}


def _by_name(one: Schema) -> Schema:
    return {"type": "object", "additionalProperties": one}


def _reading() -> Schema:
    from factory.readers.reading import Part

    parts = _list({**of(Part), "additionalProperties": False})
    return _record({"parts": parts, "set_aside": of(Mapping[str, int]), "example": of(Mapping[str, str] | None)})


def _funnel() -> Schema:
    from factory.stages.health import Health
    from factory.stages.quality import Known, Quality
    from filters.confounds import SCHEMA

    counts, number, text = of(Mapping[str, int]), of(int), of(str)
    step = {"filter": text, "kept": number, "rejected": number, "reasons": counts, "flagged": number, "flags": counts}
    confound = {**dict.fromkeys(SCHEMA, of(float)), "name": text, "n": number, "says": of(str | None)}
    judged = {"judges": of(list[Health]), "judge_agrees": of(Known), "quality": of(Quality), "reading": _reading()}
    own: dict[str, Schema] = {
        "input": number,
        "steps": _list(_record(step, ("flagged", "flags"), more=False)),
        "kept": number,
        "confounds": _list(_record(confound, more=False)),
    }
    return _record({**own, **judged}, tuple(judged), more=False)


def _outcome() -> Schema:
    from factory.exports.facts.bill import Bill

    path = of(str | None)
    paths = dict.fromkeys(("kept", "rejected", "audit", "report", "drawn", "pushed"), path)
    exports = {"type": "object", "additionalProperties": {"type": "string"}}
    funnel = _any({"type": "null"}, _funnel())
    said = of(list[str])
    return _record(
        {"run": of(str), **paths, "exports": exports, "funnel": funnel, "caveats": said, "bill": of(Bill)}, more=False
    )


def _looked() -> Schema:
    """Pairs, or prompts."""
    text = of(str)
    turns = _list(_record({"role": text, "content": of(str | None)}))
    sides = {"chosen": text, "rejected": text}
    pair, prompt = ({name: text, "prompt": turns} for name in ("pair_id", "prompt_id"))
    kinds = {"pairs": _record({**pair, **sides}), "prompts": _record(prompt)}
    return _any(
        *(
            _record({"reading": _reading(), kind: of(int), "first": _list(first)}, more=False)
            for kind, first in kinds.items()
        )
    )


def _scored() -> Schema:
    """A benchmark's result: what all have, its parts by name, and measures that are numbers, or null where unknown."""
    from factory.reward.items import BENCHMARKS

    measure, number = of(float | None), of(int)
    part = _record({"absent": of(list[str])}, ("absent",), more=measure)
    kinds = ("sections", "subsets", "domains", "categories", "best_of", "groups", "by_length")
    bins = _record(dict.fromkeys(("from", "to", "confidence", "accuracy"), of(float)) | {"n": number}, more=False)
    head = {
        "model": of(str | list[str]),
        "benchmark": {"enum": list(BENCHMARKS)},
        **dict.fromkeys(("prompts", "replies", "unread", "cut"), number),
        "without_score": of(Mapping[str, int]),
    }
    beyond = {
        "absent": of(list[str]),
        **dict.fromkeys(kinds, _by_name(part)),
        "calibration": _record(
            {**dict.fromkeys(("ece", "log_loss", "brier"), measure), "bins": _list(bins)}, more=False
        ),
        "matrices": _by_name(of(list[list[float]])),
        "models": _list(_by_name(measure)),
        "over_models": _by_name(_record({"mean": measure, "deviation": measure}, more=False)),
    }
    return _record({**head, **beyond}, tuple(beyond), more=measure)


def write(folder: Path) -> None:
    """Write each schema into a file of `folder` that is called as its command."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        text = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name.replace(' ', '-')}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
