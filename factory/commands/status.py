"""`status`: how far a run folder is, read from its manifests and journals without touching them."""

from pathlib import Path
from typing import NamedTuple

from factory.errors import InputError
from factory.exports.facts.current import left_over
from factory.files import PathLike
from factory.files.json_text import read_object
from factory.stages import order
from factory.store import read_manifest


class StageStatus(NamedTuple):
    """One stage: done, under way with so many answers in its journal, or left over from another configuration."""

    name: str
    state: str
    rows: int | None
    rejected: int | None
    journaled: int | None
    seconds: float | None


def status(run_dir: PathLike) -> list[StageStatus]:
    """Every stage of the run that has begun, in the order of the line. InputError when there is no run."""
    root = Path(run_dir)
    if not (root / "run.json").is_file():
        raise InputError(f"{root} is no run folder (it has no run.json); give the folder of a run")
    # Wherever they lie, as a run's folder may hold rounds and formats that nobody lists beforehand.
    manifests = {_name(path, root): path for path in root.rglob("*.manifest.json")}
    journals = {_name(path, root): path for path in root.rglob("*.journal.jsonl")}
    # A stage that is under way has a journal and no manifest yet; one that asks nobody never has a journal.
    config = read_object(root / "run.json").get("config") or {}
    found = [_one(name, manifests.get(name), journals.get(name)) for name in sorted({*manifests, *journals}, key=order)]
    return [one._replace(state="left over") if left_over(root, config, one.name) else one for one in found]


def _name(path: Path, root: Path) -> str:
    # At the first dot: no stage has one in its name, and the endings have two.
    return (path.parent / path.name.split(".", 1)[0]).relative_to(root).as_posix()


def _one(name: str, manifest_path: Path | None, journal_path: Path | None) -> StageStatus:
    manifest = read_manifest(manifest_path) if manifest_path else None
    journaled = _lines(journal_path) if journal_path else None
    if manifest is None:
        return StageStatus(name, "under way", None, None, journaled, None)
    facts = manifest["facts"]
    return StageStatus(name, "done", facts.get("rows"), facts.get("rejected"), journaled, manifest.get("seconds"))


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        # A last line that does not end is torn, or is being written just now.
        return sum(line.endswith(b"\n") for line in file)
