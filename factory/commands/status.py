"""`status`: how far a run folder is, read from its manifests and journals without touching them."""

from pathlib import Path
from typing import NamedTuple

from factory.errors import InputError
from factory.store import read_manifest


class StageStatus(NamedTuple):
    """One stage: done, or under way with so many answers in its journal."""

    name: str
    state: str
    rows: int | None
    rejected: int | None
    journaled: int | None
    seconds: float | None


def status(run_dir: str | Path) -> list[StageStatus]:
    """Every stage of the run that has begun, in the order of their files. InputError when there is no run."""
    root = Path(run_dir)
    if not (root / "run.json").is_file():
        raise InputError(f"{root} is no run folder (it has no run.json); give the folder of a run")
    manifests = {_name(path, root): path for path in root.rglob("*.manifest.json")}
    journals = {_name(path, root): path for path in root.rglob("*.journal.jsonl")}
    return [_one(name, manifests.get(name), journals.get(name)) for name in sorted({*manifests, *journals}, key=_order)]


def _name(path: Path, root: Path) -> str:
    return (path.parent / path.name.split(".", 1)[0]).relative_to(root).as_posix()


_LINE = ("prompts", "features", "contrast", "triples", "scores", "train", "passed", "filter", "audit")


def _order(name: str) -> tuple[int, int, int, str]:
    parts = name.split("/")
    leaf = _LINE.index(parts[-1]) if parts[-1] in _LINE else len(_LINE)
    if parts[0] == "iterations":
        return (1, int(parts[1]) if parts[1].isdigit() else 0, leaf, name)
    return (0 if parts[0] == "prompts" else 2, 0, leaf, name)


def _one(name: str, manifest_path: Path | None, journal_path: Path | None) -> StageStatus:
    manifest = read_manifest(manifest_path) if manifest_path else None
    journaled = _lines(journal_path) if journal_path else None
    if manifest is None:
        return StageStatus(name, "under way", None, None, journaled, None)
    facts = manifest["facts"]
    return StageStatus(name, "done", facts.get("rows"), facts.get("rejected"), journaled, manifest.get("seconds"))


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)
