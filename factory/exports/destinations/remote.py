"""Sending an export to where fsspec reaches: s3://, gs://, memory:// and the like."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from factory.errors import ConfigError, FactoryError, MissingExtraError, network_errors
from factory.exports import exporter
from factory.exports.destinations.elsewhere import ANY, Marks, RemoteContents, record_text
from factory.exports.destinations.write import places_of
from factory.store.ownership import RECORD, Record

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "oci", "oss"})
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):/{1,2}(?P<rest>[^/].*)", re.IGNORECASE)


def url_of(out: str | Path) -> str | None:
    """`out` as a URL, or None for a local path; a Path that swallowed a slash of `s3://` gets it back."""
    found = _URL.fullmatch(str(out))
    if found is None or found["scheme"].lower() == "file":
        return None
    return f"{found['scheme'].lower()}://{found['rest'].rstrip('/')}"


def require_free(url: str, format: str) -> None:
    """Raise ConfigError where files that no export wrote stand in the way of one at `url`; nothing is changed there."""
    with _asking(url) as (system, root):
        _standing(system, root, url).require_free(places_of(exporter(format)))


def send(folder: Path, url: str) -> list[str]:
    """Copy the files of an export to `url`, README.md last, and remove those of an earlier one; returns addresses.

    The record that lies there says which are; a README.md that somebody wrote or changed there is left alone. Raises
    MissingExtraError or ConfigError where nothing speaks the scheme or a foreign file is in the way, FactoryError when
    the place refuses.
    """
    with _asking(url) as (system, root):
        there = _standing(system, root, url)
        sent, record = there.to_send(folder), Record.read(folder)
        _make_folder(system, root)
        # The record goes first, so that what is there is known for an export's own however this ends.
        coming = {**there.own, **dict.fromkeys(sent, (ANY,))}
        system.pipe_file(f"{root}/{RECORD}", record_text(record, coming).encode())
        for name, path in sent.items():
            _make_folder(system, f"{root}/{name}".rsplit("/", 1)[0])
            system.put_file(str(path), f"{root}/{name}")
        for name in there.stale(sent):
            system.rm_file(f"{root}/{name}")
        system.invalidate_cache()
        # What a store calls contents, its ETag, is known only once they lie there.
        now = _listed(system, root)
        system.pipe_file(f"{root}/{RECORD}", record_text(record, {name: now[name] for name in sent}).encode())
        return [f"{url.split('://', 1)[0]}://{root.lstrip('/')}/{name}" for name in sent]


@contextmanager
def _asking(url: str) -> Iterator[tuple["AbstractFileSystem", str]]:
    """The file system and the place within it; what goes wrong with it is one sentence."""
    import fsspec

    try:
        yield fsspec.core.url_to_fs(url)
    except ImportError as error:
        if url.startswith("s3://"):
            raise MissingExtraError("s3", "s3fs") from None
        raise ConfigError(f"{url}: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{url}: {error}") from None
    except network_errors() as error:
        raise FactoryError(f"{url}: cannot be written ({error}); check the address and your credentials") from None


def _standing(system: "AbstractFileSystem", root: str, url: str) -> RemoteContents:
    system.invalidate_cache()
    # A listing may be from before another process wrote there.
    files = _listed(system, root)
    # What is no UTF-8 is no record, which whoever reads it says.
    record = system.cat_file(f"{root}/{RECORD}").decode("utf-8", "replace") if RECORD in files else None
    return RemoteContents.of(url, files, record)


def _listed(system: "AbstractFileSystem", root: str) -> dict[str, Marks]:
    """Name to size, and the hash that the place gives, where it gives one."""
    try:
        found = system.find(root, detail=True)
    except FileNotFoundError:
        return {}
    return {
        str(path).removeprefix(root).lstrip("/"): [f"{mark} {info[mark]}" for mark in ("size", "ETag") if mark in info]
        for path, info in found.items()
    }


def _make_folder(system: "AbstractFileSystem", path: str) -> None:
    """Make a folder where a place has such; in an object store a bucket would be made, by a slip of the pen."""
    # fsspec gives the one name as text, several as a tuple.
    protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
    if not protocols & _OBJECT_STORES:
        system.makedirs(path, exist_ok=True)
