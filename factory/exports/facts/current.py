"""Which of what lies in a run folder is of the run as it is configured now: a longer one may have left more."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from factory.exports.facts.recipe import made_from
from factory.store import read_manifest
from factory.store.outputs import Output, digest_of


def rounds(root: Path, config: Mapping[str, Any]) -> list[int]:
    """The iterations and rounds of the run as it is configured."""
    # By number, as 10 comes before 2 by name; what else lies there is none of the run's.
    there = sorted(int(p.name) for p in (root / "iterations").glob("*") if p.is_dir() and p.name.isdigit())
    last = (config.get("run") or {}).get("iterations")
    if (config.get("prompts") or {}).get("target_pairs"):
        # How many rounds it took is known to the filter alone, which reads all of them.
        read = made_from(root, "filtered/filter").get("scores")
        last = len(read) if isinstance(read, list) else None
    return there if last is None else [number for number in there if number <= last]


def audited(root: Path, config: Mapping[str, Any]) -> bool:
    """Whether the run has an audit, and the one that lies there is of the pairs that are kept now."""
    if "audit" in config and not (config["audit"] or {}).get("judge"):
        return False
    audited, filtered = made_from(root, "audit/audit"), read_manifest(root / "filtered/filter.manifest.json")
    if not audited:
        return True
    found = {name: Output(*one) for name, one in filtered["outputs"].items()} if filtered else {}
    return bool(audited.get("kept") == digest_of(found))


def left_over(root: Path, config: Mapping[str, Any], stage: str) -> bool:
    """Whether a stage lies in the folder that the run, as it is configured, does not have."""
    first, _, rest = stage.partition("/")
    number = rest.partition("/")[0]
    if first == "iterations" and number.isdigit():
        # With target_pairs the filter tells how many rounds there are, and one that lies there may be of fewer.
        open_ended = bool((config.get("prompts") or {}).get("target_pairs"))
        return not open_ended and int(number) not in rounds(root, config)
    if first == "exports" and rest != "push":
        return rest not in (config.get("export") or {}).get("formats", [rest])
    return first == "audit" and not audited(root, config)
