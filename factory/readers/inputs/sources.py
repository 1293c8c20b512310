"""Everything that pairs and prompts can be given as: a file, a folder, a run, a URL, a Hub dataset, a frame."""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeAlias, cast

import polars as pl

from factory.errors import FactoryError, InputError, MissingExtraError, first_line, network_errors
from factory.files import at_home
from factory.files.rows import ABOUT
from factory.readers.inputs.annotated import rows_of
from factory.readers.inputs.beside import columns_beside
from factory.readers.inputs.files import open_file, stem_of, suffix_kind
from factory.readers.inputs.in_memory import ArrowTable, Dataset, Table, tables_in
from factory.readers.inputs.json_columns import as_objects
from factory.readers.inputs.nested_trees import flattened
from factory.readers.inputs.opened import InputTable, Opened, Skipped, naming
from factory.readers.names import free
from factory.schema import PAIRS

PairSource: TypeAlias = str | Path | Table | Mapping[str, Dataset | ArrowTable] | InputTable
"""A path, a folder, a run folder, a URL, a Hub dataset id (ORG/NAME or ORG/NAME:SPLIT), or a table in memory; also one
of the tables that `find` found in such."""
PairsLike: TypeAlias = PairSource | Sequence[PairSource]
"""One of them, or several."""

_HUB = re.compile(r"(?P<id>[\w-][\w.-]*/[\w.-]+)(:(?P<split>[\w.-]+))?")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
KEPT = "kept.parquet"
FUNNEL, RUN = "funnel.json", "run.json"
SAVED = ("dataset_dict.json", "state.json")
"""What tells a folder that `datasets` saved."""


def as_list(inputs: PairsLike) -> list[PairSource]:
    """`inputs` as a list, for callers that give one alone. Raises InputError when there is none."""
    # A text is a sequence too, of letters.
    listed = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    if not listed:
        raise InputError("no input was given; name a file, a folder or a Hub dataset")
    # Polars would look for `~/pairs.jsonl` at home, and whoever guards the inputs for it here.
    return cast(list[PairSource], [at_home(one) if isinstance(one, str | Path) else one for one in listed])


_FETCHED: ContextVar[dict[str, list[InputTable]] | None] = ContextVar("fetched", default=None)
"""What the command under way has fetched, by name."""


def open_inputs(inputs: PairsLike, *, table: str = KEPT, skipped: Skipped | None = None) -> list[Opened]:
    """Open each input; `table` is what a run folder is wanted for: its kept pairs, or its prompts.

    Files that cannot be opened go to `skipped`, which may let them pass.

    Raises InputError in one sentence that names the input, when it is absent, no table, or without a file in it.
    """
    skipped = skipped or Skipped(allowed=False)
    opened = []
    for given in as_list(inputs):
        tables, some = [], False
        for found in find(given, table):
            some = True
            with skipped.passing(found.where), naming(found.where):
                tables.append(_opened(found))
        read = [one for one in tables if one is not None]
        # Of a folder's tables given one by one, what is no data is passed over as in the folder.
        if not read and not (some and skipped.allowed) and not isinstance(given, InputTable):
            raise _nothing(given)
        opened += read
    return opened


def _opened(found: InputTable) -> Opened | None:
    opened = _named(found)
    if opened is None:
        return None
    opened = as_objects(opened)
    return opened._replace(frames=tuple(one for frame in opened.frames for one in _plain(frame)))


def _named(found: InputTable) -> Opened | None:
    """What is found, as it lies there, with what is known of it beside; None for a file that is no table."""
    if found.path is None:
        frame = pl.LazyFrame() if found.frame is None else found.frame
        return Opened(found.where, found.stem, (frame,), in_memory=found.in_memory, split=found.called)
    opened = open_file(found.path, found.where, named=found.named)
    return opened and opened._replace(
        stem=found.stem, named=found.named_columns, in_folder=not found.named, split=found.called
    )


def _plain(frame: pl.LazyFrame) -> Iterator[pl.LazyFrame]:
    """`frame` with a row per message of trees, and per thing that annotators were asked about."""
    for tree in flattened(_usual(frame)):
        yield from rows_of(_apart(tree))


def _usual(frame: pl.LazyFrame) -> pl.LazyFrame:
    """`frame` with lists of one length as any lists, categories as texts, and whole numbers as such."""
    frame = _whole(frame)
    kinds = frame.collect_schema().items()
    lists = [pl.col(name).arr.to_list() for name, kind in kinds if isinstance(kind, pl.Array)]
    texts = [pl.col(name).cast(pl.String) for name, kind in kinds if isinstance(kind, pl.Categorical | pl.Enum)]
    return frame.with_columns(*lists, *texts) if lists or texts else frame


def _whole(frame: pl.LazyFrame) -> pl.LazyFrame:
    """`frame` with our columns of whole numbers as such, which pandas has as 1.0 wherever a row has none."""
    kinds = frame.collect_schema().items()
    floats = [name for name, kind in kinds if PAIRS.dtypes.get(name) == pl.Int64 and kind.is_float()]
    if not floats:
        return frame
    numbers = [pl.col(name).fill_nan(None) for name in floats]
    same = [number.cast(pl.Int64, strict=False).eq_missing(number).all() for number in numbers]
    held = frame.select(same).collect(engine="streaming").row(0)
    whole = [number.cast(pl.Int64) for number, holds in zip(numbers, held, strict=True) if holds]
    return frame.with_columns(whole)


def _apart(frame: pl.LazyFrame) -> pl.LazyFrame:
    """`frame` with the user's columns that begin like our own passing ones, with two underscores, out of their way."""
    names, new = frame.collect_schema().names(), dict[str, str]()
    for name in names:
        if name.startswith("__"):
            new[name] = free(name, {*names, *new.values()})
    return frame.rename(new)


def _nothing(given: object) -> InputError:
    return InputError(f"{given}: there is no Parquet, JSONL, JSON or CSV file; check the path")


@contextmanager
def fetched_once() -> Iterator[None]:
    """Within this, or a function that it decorates, each remote input is fetched at most once.

    So that a command reads what its fingerprint was taken of.
    """
    # A context variable, not a global: commands in two threads do not see each other's files.
    mark = None if _FETCHED.get() is not None else _FETCHED.set({})
    try:
        yield
    finally:
        if mark is not None:
            _FETCHED.reset(mark)


def _once(name: str, fetch: Callable[[], list[InputTable]]) -> list[InputTable]:
    known = _FETCHED.get()
    if known is None:
        return fetch()
    if name not in known:
        known[name] = fetch()
    return known[name]


def find(given: PairSource, table: str = KEPT) -> list[InputTable]:
    """The tables that an input stands for; remote ones are fetched, files are not yet read."""
    if isinstance(given, InputTable):
        return [given]
    if isinstance(given, pl.DataFrame | pl.LazyFrame):
        return [InputTable("the frame given", None, frame=given.lazy(), in_memory=isinstance(given, pl.DataFrame))]
    if not isinstance(given, str | Path):
        return tables_in(given, "the dataset given", None)
    name = str(given)
    if isinstance(given, str) and _URL.match(given):
        return _once(given, lambda: _fetched(given))
    if not name or not is_path(name):
        raise InputError(f"{name!r}: is no path; check it")
    path = Path(given)
    with naming(name):
        if path.is_dir():
            return _in_folder(path, table)
        hub = _HUB.fullmatch(name)
        # lexists, since a broken link is a file that is not there, and no data set of that name.
        if hub and isinstance(given, str) and not os.path.lexists(path) and not suffix_kind(name):
            return _once(name, lambda: _on_hub(hub["id"], hub["split"]))
    return [InputTable(name, stem_of(path), path)]


def _in_folder(folder: Path, table: str) -> list[InputTable]:
    if (folder / RUN).is_file():
        wanted = folder / (f"filtered/{KEPT}" if table == KEPT else table)
        if not wanted.is_file():
            raise InputError(f"{folder}: this run has no {wanted.relative_to(folder)} yet; let it finish first")
        return [InputTable(str(wanted), folder.resolve().name, wanted)]
    if (folder / FUNNEL).is_file() and (folder / KEPT).is_file():
        return [InputTable(str(folder / KEPT), folder.resolve().name, folder / KEPT)]
    if any((folder / name).is_file() for name in SAVED):
        return _saved(folder)
    paths = sorted(_walk(folder, set()))
    # Text files beside data are licences and read-mes; alone they are prompts.
    data = [path for path in paths if suffix_kind(path) != "lines"] or paths
    if not data:
        raise _nothing(folder)
    said = columns_beside(folder)
    return [
        InputTable(str(path), stem_of(path), path, named=False, named_columns=said.get(path.name, {})) for path in data
    ]


def _walk(folder: Path, seen: set[str]) -> Iterator[Path]:
    """Data files below a folder, hidden ones left out; each real folder once, so that links in a circle end."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    for path in sorted(folder.iterdir()):
        # Caches, and what an export is writing.
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path, seen)
        elif suffix_kind(path) and path.name not in ABOUT:
            yield path


def _fetched(url: str) -> list[InputTable]:
    """Fetch a remote file, or every data file of a remote folder, into a folder that goes when the process ends."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(url)
        folder = system.isdir(root)
        names = _data_in(system.find(root), root) if folder else [root]
        local = Path(tempfile.mkdtemp(prefix="sso-factory-"))
        # At exit, since lazy frames read these files long after this function has returned.
        atexit.register(shutil.rmtree, local, ignore_errors=True)
        # A folder each, since files from several folders may be called alike.
        copies = [(name, local / str(place) / name.rsplit("/", 1)[-1]) for place, name in enumerate(names)]
        for name, path in copies:
            path.parent.mkdir()
            system.get_file(name, str(path))
    except ImportError as error:
        raise _missing(url, error) from error
    except network_errors() as error:
        raise InputError(f"{url}: cannot be fetched ({first_line(error)}); check address and access") from error
    if not copies:
        raise _nothing(url)
    scheme = url.split("://", 1)[0]
    return [
        InputTable(name if "://" in name else f"{scheme}://{name.lstrip('/')}", stem_of(name), path, named=not folder)
        for name, path in copies
    ]


def _data_in(names: Iterable[str], root: str) -> list[str]:
    """As of a folder of this disk: without hidden files, and without text files beside data."""
    found = [name for name in sorted(names) if suffix_kind(name) and "/." not in name.removeprefix(root)]
    return [name for name in found if suffix_kind(name) != "lines"] or found


def is_path(name: str) -> bool:
    """Whether the disk can have a file of that name: no NUL, no lone surrogate that stands for no byte."""
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _missing(url: str, error: ImportError) -> FactoryError:
    if url.startswith("s3://"):
        return MissingExtraError("s3", "s3fs")
    return InputError(f"{url}: {first_line(error)}; install that package, or fetch the file yourself")


def _on_hub(name: str, split: str | None) -> list[InputTable]:
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    try:
        loaded = datasets.load_dataset(name, split=split)
    except (*network_errors(), datasets.exceptions.DatasetsError, HfHubHTTPError) as error:
        why = f"there is no such file, and as a dataset of the Hub it cannot be loaded ({first_line(error)})"
        raise InputError(f"{name}: {why}; check the name, or give a part of it, as hf://datasets/{name}/…") from error
    return tables_in(loaded, name if split is None else f"{name}, split {split}", name, split)


def _saved(folder: Path) -> list[InputTable]:
    """A folder written by `datasets`' save_to_disk."""
    import datasets

    try:
        return tables_in(datasets.load_from_disk(str(folder)), str(folder), folder.name)
    # An IndexError is how it stumbles over a split without rows.
    except (OSError, ValueError, IndexError) as error:
        why = "a split has no row; give another's folder" if isinstance(error, IndexError) else first_line(error)
        raise InputError(f"{folder}: no dataset saved to disk can be read there ({why})") from error
