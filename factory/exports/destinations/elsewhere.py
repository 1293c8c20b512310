"""What stands at a place that is no folder of this disk, and what of it is an export's own, by the record there."""

import json
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from factory.errors import ConfigError
from factory.exports.destinations.write import BY, README, exported, places_in
from factory.store.ownership import ELSEWHERE, RECORD, Record, parsed

Marks = Sequence[str]
"""What tells contents apart without reading them: sizes and hashes, as the place gives them."""
ANY = "*"
"""Mark of a file that is being written, which may hold anything."""


class RemoteContents(NamedTuple):
    """What is there."""

    where: str
    files: Mapping[str, Marks]
    """Name to the marks of what it holds."""
    own: Mapping[str, Marks]
    """Name to the marks of what an export left, by the record that lies there."""

    @classmethod
    def of(cls, where: str, files: Mapping[str, Marks], record: str | None) -> "RemoteContents":
        """From what is there and the text of the record, None where there is none."""
        if record is None:
            return cls(where, files, {})
        known = parsed(record, f"{where}/{RECORD}")
        # Read once more: only a record that lies elsewhere holds marks, which `parsed` knows nothing of.
        marks = {name: entry.get("marks", ()) for name, entry in json.loads(record)["files"].items() if name in known}
        return cls(where, files, {name: marks[name] for name, entry in known.items() if entry.by == BY})

    def owns(self, name: str) -> bool:
        """Whether a file is not there, or is what an export left there."""
        if name not in self.files:
            return True
        own = self.own.get(name)
        # A subset, as the record may hold both names that the Hub has for a file, and a listing one of them.
        return own is not None and (ANY in own or set(self.files[name]) <= set(own))

    def require_free(self, names: Iterable[str]) -> None:
        """Raise ConfigError for the first file that stands where an export will write, and is not one's own.

        Names may be patterns, and a folder with a slash at its end. All that an export left there counts as well.
        README.md does not: one that somebody wrote or changed is left alone.
        """
        # fnmatchcase: its * also takes slashes, so that a folder's pattern covers all below it.
        patterns = [f"{name}*" if name.endswith("/") else name for name in names]
        for name in sorted(self.files):
            if name in (README, RECORD) or self.owns(name):
                continue
            if name in self.own:
                raise ConfigError(f"{self.where}/{name} was changed since sso-factory wrote it; {ELSEWHERE}")
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                raise ConfigError(f"{self.where}/{name} was not written by sso-factory; {ELSEWHERE}")

    def to_send(self, folder: Path) -> dict[str, Path]:
        """The files of an export in `folder` as they go there, README.md last; without it where that is not one's own.

        ConfigError where a file that no export left there is in the way.
        """
        files = sorted(exported(folder), key=lambda path: (path.name == README, path.as_posix()))
        sent = {path.relative_to(folder).as_posix(): path for path in files if path.name != RECORD}
        self.require_free([*sent, *places_in(sent)])
        return {name: path for name, path in sent.items() if name != README or self.owns(README)}

    def stale(self, names: Iterable[str]) -> list[str]:
        """What an export left there and a new one, of the files given, does not hold."""
        return sorted(name for name in self.own if name in self.files and name not in {*names, README})


def record_text(folder: Record, marks: Mapping[str, Marks]) -> str:
    """The record of an export's folder as it lies elsewhere: the files that were sent, with their marks there."""
    values = folder.text()
    files = {name: {"by": BY, "contents": [], **values["files"].get(name, {}), "marks": marks[name]} for name in marks}
    return json.dumps({**values, "files": dict(sorted(files.items()))}, indent=2) + "\n"
