"""The run folder: stages that are made once, journals, manifests written last, one process at a time."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from factory.engines.api.accounts import FILE as SPENDING
from factory.files.json_text import read_object
from factory.files.table_file import TableFile
from factory.identity import digest
from factory.progress import Progress
from factory.schema import REJECTED, Split
from factory.store.journal import Journal
from factory.store.lock import locked, was_locked
from factory.store.outputs import MANIFEST_VERSION, Output, digest_of, problem, scratch_of, tables_of
from factory.store.outputs import read_manifest as read_manifest
from factory.store.outputs import write_json as write_json
from factory.store.outputs import write_text as write_text
from factory.store.ownership import RECORD, Content, OwnedFile, Record


@dataclass(frozen=True)
class Stage:
    """A finished stage: where its files lie, and what it says of them."""

    name: str
    folder: Path
    outputs: Mapping[str, Output]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the stage reports beside its files: counts, metrics."""
    used: Mapping[str, Any] = field(default_factory=dict)
    """What each asker (`replies 1`, `judge J`) got of its engine: the fields of journal.Usage."""

    @property
    def digest(self) -> str:
        """Hash of the contents of all files: the fingerprint input of whatever reads them."""
        return digest_of(self.outputs)

    @property
    def path(self) -> Path:
        """The stage's table."""
        return self.folder / tables_of(self.name)[0]

    def scan(self) -> pl.LazyFrame:
        """The table, lazily."""
        return pl.scan_parquet(self.path, glob=False)

    def read(self) -> pl.DataFrame:
        """The table."""
        return pl.read_parquet(self.path, glob=False)

    def rejected(self) -> pl.LazyFrame:
        """The rows that the stage rejected, lazily."""
        name = tables_of(self.name)[1]
        return pl.scan_parquet(self.folder / name, glob=False) if name in self.outputs else REJECTED.empty().lazy()


class Workspace(NamedTuple):
    """What a stage works with while it is being made."""

    path: Path
    """What is left in it becomes the output, dotted names aside. Kept across a kill while the fingerprint stays."""
    journal: Journal


class StageReachedError(Exception):
    """The stage that the run was to stop after is done."""


class RunFolder:
    """A folder of stages. Build one with `open_run`, which holds its lock."""

    def __init__(self, root: Path, progress: Progress, until: str | None, record: Record) -> None:
        self.root, self.progress, self._until, self.record = root, progress, until, record
        self.on_made: Callable[[Stage, float], None] = lambda stage, seconds: None
        """Told each stage that was made, not those reused, and the seconds it took."""

    def require_free(self, name: str, makes: Sequence[str]) -> None:
        """Raise ConfigError where something that the stage `name` did not write stands in the way of its files."""
        if read_manifest(self.root / scratch_of(name).manifest) is not None:
            makes = [file for file in makes if not file.endswith("/")]
        within = Path(name).parent
        outputs = [f"{(within / file).as_posix()}{'/' * file.endswith('/')}" for file in makes]
        self.record.require_free([*scratch_of(name), *outputs], name, changed_too=False)
        self.record.require_free([SPENDING], SPENDING)

    def table(
        self, name: str, inputs: Mapping[str, Any], build: Callable[[Journal], Iterable[Split]], count: str = ""
    ) -> Stage:
        """A stage whose output is the table `{name}.parquet`, with `{name}.rejected.parquet` beside it if need be.

        `build` yields the table part by part, at least one, and each is written before the next is asked for. `count`
        is a column whose values are counted in the facts, under `values`.
        """

        def write(work: Workspace) -> dict[str, Any]:
            files = [work.path / file for file in tables_of(name)]
            kept, rejected = TableFile(files[0], count), TableFile(files[1], "reason")
            for part in build(work.journal):
                kept.add(part.kept)
                if len(part.rejected):
                    rejected.add(part.rejected)
            kept.close()
            rejected.close()
            facts = {"rows": kept.rows, "rejected": rejected.rows, "reasons": rejected.counts}
            return facts | ({"values": kept.counts} if count else {})

        return self.stage(name, inputs, write, tables_of(name))

    def stage(
        self,
        name: str,
        inputs: Mapping[str, Any],
        build: Callable[[Workspace], Mapping[str, Any]],
        makes: Sequence[str] = (),
    ) -> Stage:
        """The stage `name`, reused when its manifest fits `inputs` and its files are as they were left, made otherwise.

        `inputs` is all that changes the stage's data, as JSON values. `build` writes into its workspace and returns
        facts for the manifest. Its files are moved up into its folder, in place of all that it left there
        before; then the manifest is written. `makes` names them beforehand, a folder with a slash at its end:
        ConfigError, before anything is made, where one of these is somebody else's.
        """
        fingerprint = digest(dict(inputs))
        stage = self._reuse(name, inputs, fingerprint)
        if stage is None:
            self.require_free(name, makes)
            self.record.claim(scratch_of(name), name)
            self.record.claim([SPENDING], SPENDING)
            stage = self._make(name, inputs, fingerprint, build)
        if self._until and (name == self._until or name.endswith(f"/{self._until}")):
            raise StageReachedError(name)
        return stage

    def _reuse(self, name: str, inputs: Mapping[str, Any], fingerprint: str) -> Stage | None:
        folder, scratch = (self.root / name).parent, scratch_of(name)
        manifest = read_manifest(self.root / scratch.manifest)
        if manifest is None:
            return None
        if manifest["fingerprint"] != fingerprint:
            again = "; answers that still fit are not asked again" if (self.root / scratch.journal).is_file() else ""
            self.progress.say(f"{name}: made again, because {_changed(manifest['inputs'], inputs)} changed{again}")
            return None
        outputs = {file: Output(*entry) for file, entry in manifest["outputs"].items()}
        for file, output in outputs.items():
            found = problem(folder / file, output)
            if found:
                self.progress.say(f"{name}: made again, because {file} {found}")
                return None
        self.progress.say(f"{name}: done before, reused")
        return Stage(name, folder, outputs, manifest["facts"], manifest.get("used", {}))

    def _make(
        self,
        name: str,
        inputs: Mapping[str, Any],
        fingerprint: str,
        build: Callable[[Workspace], Mapping[str, Any]],
    ) -> Stage:
        folder, scratch = (self.root / name).parent, scratch_of(name)
        manifest_path, journal_path, partial = (self.root / file for file in scratch)
        began = time.monotonic()
        _prepare(partial, fingerprint)
        with Journal(journal_path) as journal:
            journal.adopt(preview_of(self.root) / scratch.journal)
            if journal.skipped:
                self.progress.say(f"{name}: {journal.skipped} unreadable lines of the journal are left aside")
            facts = dict(build(Workspace(partial, journal)))
            used = {asker: asdict(each) for asker, each in journal.used.items()}
            empty = len(journal) == 0
        if empty:
            journal_path.unlink(missing_ok=True)
        # Before the files change: a manifest that outlives them would vouch for a mixture after a kill.
        manifest_path.unlink(missing_ok=True)
        outputs = self._publish(partial, folder, name)
        write_json(
            manifest_path,
            {
                "version": MANIFEST_VERSION,
                "stage": name,
                "fingerprint": fingerprint,
                "inputs": dict(inputs),
                "outputs": outputs,
                "facts": facts,
                "used": used,
                "seconds": round(time.monotonic() - began, 2),
            },
        )
        self.progress.say(f"{name}: {_summary(facts)} in {time.monotonic() - began:.1f} s")
        stage = Stage(name, folder, outputs, facts, used)
        self.on_made(stage, time.monotonic() - began)
        return stage

    def _publish(self, partial: Path, folder: Path, name: str) -> dict[str, Output]:
        """Put the outputs in place. What begins with a dot is scratch, perhaps of a killed process, and is dropped."""
        for scratch in partial.glob(".*"):
            shutil.rmtree(scratch) if scratch.is_dir() else scratch.unlink()
        outputs, aside = self.record.publish(partial, folder, name)
        for path in aside:
            self.progress.say(f"{name}: what stood in the way, changed by somebody else, is now {path}")
        return outputs


def preview_of(root: Path) -> Path:
    """Where the preview of the run in `root` lies."""
    # The name of `.` and of `..` is only in the whole path.
    named = root if root.name not in ("", "..") else root.resolve()
    return named.parent / f"{named.name}-preview"


def adopted(root: Path) -> Record:
    """The record of a run folder without one, of an old version or copied without hidden files: what manifests list."""
    record = Record(root, {SPENDING: OwnedFile(SPENDING)})
    for end in (".manifest.json", ".journal.jsonl", ".partial"):
        for path in root.rglob(f"*{end}"):
            name = path.with_name(path.name.removesuffix(end).removeprefix(".")).relative_to(root).as_posix()
            record.entries |= {scratch: OwnedFile(name) for scratch in scratch_of(name)}
            outputs = (read_manifest(path) or {"outputs": {}})["outputs"] if end == ".manifest.json" else {}
            within = Path(name).parent
            record.entries |= {
                (within / file).as_posix(): OwnedFile(name, (Content.of(Output(*o)),)) for file, o in outputs.items()
            }
    if (root / "run.json").is_file():
        record.entries |= {
            "run.json": OwnedFile("run"),
            "config.yaml": OwnedFile("run"),
            "report.html": OwnedFile("report"),
        }
    return record


@contextmanager
def open_run(root: Path, progress: Progress, until: str | None = None) -> Iterator[RunFolder]:
    """Hold the lock of the run folder `root`, made if need be. StoreError when another process holds it."""
    # Asked before the lock is taken, which would make any folder look as if it had been ours before.
    before = was_locked(root) or "sso_factory" in read_object(root / "run.json")
    with locked(root):
        known = (root / RECORD).exists() or not before
        yield RunFolder(root, progress, until, Record.read(root) if known else adopted(root))


def _prepare(partial: Path, fingerprint: str) -> None:
    mark = partial / ".fingerprint"
    # Checkpoints and parts of another fingerprint are of other data; those of the same one are what a kill left to go
    # on from.
    if not (mark.is_file() and mark.read_text(encoding="utf-8") == fingerprint):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        mark.write_text(fingerprint, encoding="utf-8")


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Names of the inputs that differ, dotted where they nest."""
    # As it would come back from the manifest: tuples and lists are one there.
    plain = json.loads(json.dumps(new, default=str))
    names = [name for name in sorted({*old, *plain}) if old.get(name) != plain.get(name)]
    return ", ".join(_dotted(name, old.get(name), plain.get(name)) for name in names) or "its code"


def _dotted(name: str, old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        inner = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
        return ", ".join(f"{name}.{key}" for key in inner)
    return name


def _summary(facts: Mapping[str, Any]) -> str:
    rows = facts.get("rows")
    if rows is None:
        return "done"
    why = ", ".join(f"{count:,} {reason}" for reason, count in facts.get("reasons", {}).items())
    rejected = f", {facts['rejected']:,} rejected{f' ({why})' if why else ''}" if facts.get("rejected") else ""
    values = ", ".join(f"{count:,} {value}" for value, count in facts.get("values", {}).items())
    return f"{rows:,} rows{f' ({values})' if values else ''}{rejected}"
