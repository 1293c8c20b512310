"""What the factory wrote in a folder, by its own record: nothing else is ever overwritten or removed.

The record lies in the folder as `.sso-factory.json` and names every file with what made it and the digests it may have.
It is written ahead of the files, so that it holds after a kill at any moment.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from factory.errors import ConfigError, StoreError
from factory.files import at_home
from factory.identity import replace_surrogates
from factory.store.outputs import Output, described, file_digest, hashed, write_text

RECORD = ".sso-factory.json"
VERSION = 1
_ASIDE = "set-aside"


class Content(NamedTuple):
    """What a file holds, as far as the record goes: the same bytes give the same record."""

    size: int
    digest: str

    @classmethod
    def of(cls, output: Output) -> "Content":
        """Of a file that was just described."""
        return cls(output.size, output.digest)

    def is_in(self, path: Path) -> bool:
        """Whether a file holds it."""
        return path.is_file() and path.stat().st_size == self.size and file_digest(path) == self.digest


class OwnedFile(NamedTuple):
    """A file of the factory's."""

    by: str
    """What wrote it: a stage of a run, or a command."""
    contents: tuple[Content, ...] = ()
    """What it may hold: the last contents and, while new ones are put in place, those too. Empty: whatever it holds."""


class Record:
    """The record of a folder. `entries` maps names within it, with slashes, to what they are."""

    def __init__(self, root: Path, entries: Mapping[str, OwnedFile] | None = None) -> None:
        self.root, self.entries = root, dict(entries or {})

    @classmethod
    def read(cls, root: Path) -> "Record":
        """The record in `root`, empty where there is none. ConfigError for a file of its name that is another's."""
        path = root / RECORD
        try:
            return cls(root, parsed(path.read_text(encoding="utf-8"), str(path)))
        except (FileNotFoundError, NotADirectoryError):
            return cls(root)
        except (UnicodeDecodeError, IsADirectoryError):
            raise ConfigError(f"{path}: {_NO_RECORD}") from None

    def text(self) -> dict[str, Any]:
        """The record as JSON values."""
        files = {name: {"by": entry.by, "contents": entry.contents} for name, entry in sorted(self.entries.items())}
        return {"version": VERSION, "made_by": "sso-factory", "files": files}

    def write(self) -> None:
        """Put the record in place, whole."""
        # On one line, which is quicker by far: it is written before and after whatever is put into the folder.
        write_text(self.root / RECORD, json.dumps(self.text(), ensure_ascii=False) + "\n")

    def claim(self, names: Iterable[str], by: str) -> None:
        """Write down names whose contents change as they like (journals, work folders), before they are made."""
        new = {name: OwnedFile(by) for name in names}
        if any(self.entries.get(name) != entry for name, entry in new.items()):
            self.entries |= new
            self.write()

    def announce(self, files: Mapping[str, Content], by: str) -> None:
        """Write down files that are about to be put in place; until `settle` each may be the former one or the new."""
        for name, content in files.items():
            former = self.entries.get(name, OwnedFile(by)).contents
            self.entries[name] = OwnedFile(by, tuple(dict.fromkeys((*former, content))))
        self.write()

    def settle(self, files: Mapping[str, Content], gone: Iterable[str], by: str) -> None:
        """Write down that the files are in place and others are gone."""
        self.entries |= {name: OwnedFile(by, (content,)) for name, content in files.items()}
        for name in gone:
            self.entries.pop(name, None)
        self.write()

    def made_by(self, by: str) -> list[str]:
        """Names of the files that `by` left."""
        return [name for name, entry in self.entries.items() if entry.by == by and entry.contents]

    def owns(self, name: str, by: str) -> bool:
        """Whether the file of that name is, to the last bit, what `by` left there."""
        entry, path = self.entries.get(name), self.root / name
        # A link is nobody's: what it leads to may lie outside of the folder.
        if entry is None or entry.by != by or path.is_symlink():
            return False
        return not entry.contents or any(one.is_in(path) for one in entry.contents)

    def require_free(self, names: Iterable[str], by: str, *, changed_too: bool = True) -> None:
        """Raise ConfigError for the first file that stands where `by` will write and is not its own.

        Names may be glob patterns; a name that ends with a slash is a folder, whose every file counts, hidden ones
        aside. A file that somebody changed is in the way as well, unless the caller keeps such ones (`changed_too`).
        """
        for name in names:
            for found in _there(self.root, name):
                entry, path = self.entries.get(found), self.root / found
                if entry is None or entry.by != by:
                    whose = "was not written by sso-factory" if entry is None else f"was written by {entry.by}"
                    raise ConfigError(f"{path} {whose} and would be overwritten; {ELSEWHERE}")
                if changed_too and not self.owns(found, by):
                    raise ConfigError(f"{path} was changed since sso-factory wrote it; {ELSEWHERE}")

    def publish(self, source: Path, folder: Path, by: str, *, besides: bool = False) -> "Published":
        """Move all that lies in `source` into `folder`, in place of all that `by` had left, or `besides` that.

        What stands in the way and is not, to the last bit, what `by` left there is set aside. `source` is gone then.
        """
        made = described(source)
        within = folder.relative_to(self.root)
        files = {(within / name).as_posix(): Content.of(output) for name, output in made.items()}
        self.announce(files, by)
        gone = [] if besides else [name for name in self.made_by(by) if name not in files]
        aside = [moved for name in files for moved in self._cleared(name, by)]
        for name, place in zip(made, files, strict=True):
            (self.root / place).parent.mkdir(parents=True, exist_ok=True)
            # Each in one step: a reader sees the former file or the new one, and whoever has the former open keeps
            # reading it.
            (source / name).replace(self.root / place)
        aside += [moved for name in gone for moved in self._cleared(name, by)]
        for name in gone:
            self._remove(name)
        shutil.rmtree(source)
        self.settle(files, gone, by)
        return Published(made, aside)

    def put(self, name: str, text: str, by: str) -> Path:
        """Write a text file, whole. ConfigError where another's is in the way; one that was changed is set aside."""
        path, data = self.root / name, text.encode("utf-8", "backslashreplace")
        self.require_free([name], by, changed_too=False)
        files = {name: Content(len(data), hashed(data))}
        list(self._cleared(name, by))
        self.announce(files, by)
        write_text(path, text)
        self.settle(files, (), by)
        return path

    def disown(self, name: str) -> None:
        """Leave a file to whoever changed it."""
        if self.entries.pop(name, None):
            self.write()

    def _cleared(self, name: str, by: str) -> Iterator[Path]:
        """Set aside what stands at a name, or where a folder of it must, and is not what `by` left there."""
        for parent in list(Path(name).parents)[-2::-1]:
            if os.path.lexists(self.root / parent) and not (self.root / parent).is_dir():
                yield self.set_aside(parent.as_posix())
        if os.path.lexists(self.root / name) and not self.owns(name, by):
            yield self.set_aside(name)

    def _remove(self, name: str) -> None:
        """Remove a file, and the folders that are empty then."""
        path = self.root / name
        path.unlink(missing_ok=True)
        while (path := path.parent) != self.root and path.is_dir() and not any(path.iterdir()):
            path.rmdir()

    def set_aside(self, name: str) -> Path:
        """Move what lies at `name` out of the way, into the folder `set-aside`; returns where it is."""
        target = self.root / _ASIDE / name
        number = 2
        while os.path.lexists(target):
            target = self.root / _ASIDE / f"{name}.{number}"
            number += 1
        target.parent.mkdir(parents=True, exist_ok=True)
        return (self.root / name).replace(target)


class Published(NamedTuple):
    """What was put in place."""

    outputs: dict[str, Output]
    """By name within the folder."""
    aside: list[Path]
    """Where files are now that were in the way."""


ELSEWHERE = "move it away, or choose another place"
_NO_RECORD = "is no record of sso-factory's; move it away, or choose another folder"


def parsed(text: str, where: str) -> dict[str, OwnedFile]:
    """A record's entries. ConfigError where the text is none, StoreError where a newer version wrote it."""
    try:
        found = json.loads(text)
        if found["made_by"] != "sso-factory" or not isinstance(found["version"], int):
            raise ValueError(text)
        if found["version"] > VERSION:
            raise StoreError(f"{where} was written by a newer version of sso-factory; upgrade to write there")
        return {
            str(name): OwnedFile(str(entry["by"]), tuple(Content(*one) for one in entry["contents"]))
            for name, entry in found["files"].items()
            # A record can come with a downloaded folder; its names must not reach out of it, since files named there
            # may be removed.
            if not Path(name).is_absolute() and ".." not in Path(name).parts
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(f"{where}: {_NO_RECORD}") from None


def _there(root: Path, name: str) -> Iterator[str]:
    """What there is at a name, as names of files; a folder at a file's name, and the reverse, count as they are."""
    for parent in list(Path(name).parents)[-2::-1]:
        if os.path.lexists(root / parent) and not (root / parent).is_dir():
            yield parent.as_posix()
    # A name of the user's choice may be a pattern as well, and stands for itself first.
    literal = os.path.lexists(root / name) or not set("*?[") & set(name)
    places = [root / name] if literal else sorted(root.glob(name.rstrip("/")))
    for place in places:
        if name.endswith("/") and place.is_dir():
            for path in sorted(place.rglob("*")):
                hidden = any(part.startswith(".") for part in path.relative_to(place).parts)
                if not hidden and (path.is_symlink() or not path.is_dir()):
                    yield path.relative_to(root).as_posix()
        elif os.path.lexists(place):
            yield place.relative_to(root).as_posix()


def require_folder(root: Path) -> None:
    """Raise ConfigError where a file, or a link that leads nowhere, stands where `root` is to be, or it is no path."""
    if root.parts[:1] == ("~",):
        # A folder that is called so is the home to polars and to shells, the one of `rm -r ~` among them.
        raise ConfigError(f"{root} begins with ~, which the shell has left as it is; write the path out")
    if re.match(r"[A-Za-z][\w+.-]+:(/|$)", str(root)):
        # As a folder of that name it would lie here, where nobody looks for it, and polars would look elsewhere.
        raise ConfigError(f"{root} is a URL, and the output is a folder of this disk; give its path")
    if replace_surrogates(str(root)) != str(root):
        raise ConfigError(
            f"{replace_surrogates(str(root))}: its name is not UTF-8, and polars writes to no such folder; {ELSEWHERE}"
        )
    for place in (root, *root.parents):
        try:
            if place.is_dir():
                return
            if os.path.lexists(place):
                what = "is a link that leads nowhere" if place.is_symlink() and not place.exists() else "is a file"
                raise ConfigError(f"{place} {what}, and the output is a folder; {ELSEWHERE}")
        except (OSError, ValueError):  # whoever opens it says that it is no path
            return


def require_apart(out: Path, inputs: Iterable[str | Path], *, a_file: bool = False) -> None:
    """Raise ConfigError where the output `out` is one of the inputs, or lies around or inside one.

    `inputs` are files and folders that are read; those that are not on this disk are passed over. Links are followed;
    of a hard link nothing is to fear, as every file is put in place by a rename. So where a file stands in the way of
    the folder `out`, or, if that is `a_file`, of the folder it lies in.
    """
    for given in inputs:
        for place, path in product(_ways_to(out), _ways_to(given)):
            if not path.exists():
                continue
            where = "is" if place == path else "lies around" if place in path.parents else None
            where = where or ("lies inside" if path in place.parents else None)
            if where:
                raise ConfigError(f"the output {out} {where} the input {given}; choose another place for it")
    require_folder(out.parent if a_file else out)


def _ways_to(path: str | Path) -> set[Path]:
    """A path as it was given, and with links followed."""
    if "\0" in str(path):  # whoever opens it says that it is no path
        return set()
    path = at_home(path)
    return {Path(os.path.normpath(Path(path).absolute())), Path(os.path.realpath(path))}
