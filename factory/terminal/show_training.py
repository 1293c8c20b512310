"""How training went and what a reward model reached, as text a person reads."""

from collections.abc import Mapping
from typing import Any

from factory.errors import span
from factory.terminal.tables import brief, table

_KINDS = ("sections", "subsets", "domains", "categories", "best_of", "groups", "by_length")
_ELSEWHERE = (*_KINDS, "absent", "calibration", "matrices", "models", "over_models")


def training(found: Any) -> str:
    """Where a policy or reward model lies, and how its training went."""
    made = found._asdict()  # which the facts name by its place in the folder
    return table(["measure", "value"], [[name, made.get(name, brief(value))] for name, value in found.facts.items()])


def reward(result: Mapping[str, Any]) -> str:
    """The measures, a row per section, subset or group, and confidence against accuracy."""
    calibration = result.get("calibration")
    single = {name: value for name, value in result.items() if name not in _ELSEWHERE}
    if isinstance(result.get("model"), list):
        single["model"] = ", ".join(result["model"])
    if calibration is not None:
        single |= {name: value for name, value in calibration.items() if name != "bins"}
    parts = [table(["measure", "value"], [[name, brief(value)] for name, value in single.items()])]
    parts += [f"the score is without {', '.join(result['absent'])}"] if result.get("absent") else []
    for kind in (kind for kind in _KINDS if result.get(kind)):
        parts += _members(kind, result[kind])
    if calibration is not None and calibration["bins"]:
        rows = [[span(one["from"], one["to"], ".2f"), one["n"], one["confidence"], one["accuracy"],
                 "#" * round(20 * one["accuracy"])] for one in calibration["bins"]]  # fmt: skip
        parts.append(table(["confidence", "pairs", "mean", "accuracy", ""], rows))
    return "\n\n".join([*parts, *_models(result)])


def _models(result: Mapping[str, Any]) -> list[str]:
    """Of an ensemble the measures of each model, by its number, and their mean and deviation."""
    apart = result.get("over_models")
    if not apart:
        return []
    rows = [[str(n), *(one[name] for name in apart)] for n, one in enumerate(result["models"], 1)]
    rows += [[kind, *(one[kind] for one in apart.values())] for kind in ("mean", "deviation")]
    return [table(["model", *apart], rows)]


def _members(kind: str, members: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of what all have, one for those with the same measures of their own, and what some are without."""
    every = [*members.values()]
    shared = tuple(column for column in every[0] if column != "absent" and all(column in one for one in every))
    rows: dict[tuple[str, ...], list[list[Any]]] = {}
    for name, member in members.items():
        own = tuple(column for column in member if column not in ("absent", *shared))
        for columns in filter(None, (shared, own)):
            rows.setdefault(columns, []).append([name, *(member[column] for column in columns)])
    absent = {name: member["absent"] for name, member in members.items() if member.get("absent")}
    tables = [table([kind, *columns], listed) for columns, listed in rows.items()]
    return [*tables, *(f"{name} is without {', '.join(missing)}" for name, missing in absent.items())]
