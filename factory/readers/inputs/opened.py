"""What opening an input gives, before anything is known of its meaning."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl

from factory.errors import InputError, first_line
from factory.readers.messages import fields_left
from factory.readers.names import plainly
from factory.readers.reading import SIDES, Part, objects_hold

UNREAD = {"detail": pl.String(), "row": pl.String()}
"""Columns of a frame of rows that could not be read: why, and the row as it came."""


_SHARD = re.compile(r"-\d{5}-of-\d{5}(-[0-9a-f]{16})?$")
"""How a data set's files end where it has several; older ones have a hash as well."""


class InputTable(NamedTuple):
    """One table that an input stands for, not yet read: a file, or a frame."""

    where: str
    """What messages call it."""
    stem: str | None
    """What `source` becomes where a row has none."""
    path: Path | None = None
    named: bool = True
    """False for a file that was found in a folder."""
    named_columns: Mapping[str, str] = {}
    """Role to column, where a file beside it says so."""
    frame: pl.LazyFrame | None = None
    in_memory: bool = True
    split: str | None = None
    """The split of a data set that it is, where no file's name says so."""

    @property
    def called(self) -> str | None:
        """The split by all names: `filtered` of filtered-00000-of-00001.parquet, or of filtered/0000.parquet."""
        if self.split is not None or self.stem is None:
            return self.split
        # The Hub numbers the files that it converts, in a folder for each split.
        return Path(self.where).parent.name if self.stem.isdigit() else _SHARD.sub("", self.stem)


class Opened(NamedTuple):
    """One file or frame: its rows by column types, and those that could not be read."""

    where: str
    """What messages call it."""
    stem: str | None
    """What `source` becomes where a row has none."""
    frames: tuple[pl.LazyFrame, ...]
    unread: pl.DataFrame = pl.DataFrame(schema=UNREAD)
    named: Mapping[str, str] = {}
    """Role to column, where a file beside it says so."""
    in_memory: bool = True
    """False for a file that is read bit by bit as it is needed."""
    left: Mapping[str, Iterable[str]] = {}
    """Column to the keys of its objects that were not read, where they are gone from its frames."""
    in_folder: bool = False
    """It was found in a folder that the user named."""
    split: str | None = None
    """See InputTable.called."""

    @property
    def names(self) -> set[str]:
        """Every column that some of its rows have."""
        return {name for frame in self.frames for name in frame.collect_schema()}


def told_of(part: Part, opened: Opened) -> Part:
    """`part` as of this file, with a warning for each column of it whose objects hold more than is read."""
    left = {plainly(name): [*keys] for name, keys in opened.left.items()}
    for frame in opened.frames:
        for name, dtype in frame.collect_schema().items():
            left.setdefault(plainly(name), []).extend(fields_left(dtype))
    used = {name for role in ("prompt", "system", *SIDES[1:]) for name in part.columns.get(role, ())}
    # A list of candidates is of both sides, and its layout knows what it reads.
    both = {*part.columns.get("chosen", ())} & {*part.columns.get("rejected", ())}
    found = {name: tuple(dict.fromkeys(left.get(plainly(name), ()))) for name in sorted(used - both)}
    same = {keys: [name for name in found if found[name] == keys] for keys in found.values() if keys}
    warnings = (objects_hold(" and ".join(names), keys) for keys, names in same.items())
    return part._replace(files=(opened.where,), warnings=(*part.warnings, *warnings))


def alike(opened: Opened, every: Sequence[Opened]) -> list[pl.LazyFrame]:
    """The frames of the other files of the same folder that have the same columns: the shards of one data set."""
    folder = Path(opened.where).parent
    near = [one for one in every if one is not opened and opened.in_folder and Path(one.where).parent == folder]
    # By names alone: of two shards one may hold no score, and its type differs then.
    names = {*opened.frames[0].collect_schema()} if opened.frames else set()
    return [frame for one in near for frame in one.frames if {*frame.collect_schema()} == names]


class Unread(NamedTuple):
    """A row that could not be read."""

    detail: str
    row: str


def unread_frame(rows: Sequence[Unread]) -> pl.DataFrame:
    """The rows that could not be read, as a frame."""
    return pl.DataFrame(rows, schema=UNREAD, orient="row")


class UnclearError(Exception):
    """What a file holds can be meant in two ways; the sentence asks which. `naming` says of which file."""


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Turn what polars, the disk or a layout say about `where` into one sentence."""
    try:
        yield
    except UnclearError as error:
        raise InputError(f"{where}: {error}") from error
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{where}: cannot be read ({first_line(error)}); check the file") from error
    except OSError as error:
        raise InputError(f"{where}: {error.strerror or first_line(error)}; check the path") from error


def columns_of(opened: Opened, most: int = 20) -> str:
    """The columns of an input with their types in few words, for messages."""
    found: dict[str, str] = {}
    for frame in opened.frames:
        found |= {n: _short(dtype) for n, dtype in frame.collect_schema().items() if not n.startswith("__")}
    shown = ", ".join(f"{name} ({kind})" for name, kind in list(found.items())[:most])
    return (shown or "none") + (f" and {len(found) - most} more" if len(found) > most else "")


def _short(dtype: pl.DataType) -> str:
    words = {pl.String: "text", pl.List: "list", pl.Struct: "object", pl.Boolean: "true or false", pl.Null: "empty"}
    named = next((word for kind, word in words.items() if isinstance(dtype, kind)), None)
    return named or ("number" if dtype.is_numeric() else str(dtype))


class Skipped:
    """The files that were left out."""

    def __init__(self, *, allowed: bool) -> None:
        """`allowed`: they are left out; otherwise the first is an error."""
        self.allowed = allowed
        self._seen: set[str] = set()
        self._found: list[tuple[str, InputError]] = []

    @contextmanager
    def passing(self, where: str) -> Iterator[None]:
        """Let an InputError about the file `where` pass, or tell how it could."""
        try:
            yield
            self._seen.add(where)
        except InputError as error:
            if self.allowed:
                self._found.append((where, error))
            elif self._seen - {where}:
                raise InputError(f"{error}; --skip-unreadable reads the other files alone") from error
            else:
                raise

    def require(self, read: int) -> None:
        """Raise the first error where nothing at all was read."""
        if self._found and not read:
            raise self._found[0][1]

    def parts(self) -> list[Part]:
        """A warning for each."""
        return [Part(None, (where,), {}, (), (f"left out: {error}",)) for where, error in self._found]
