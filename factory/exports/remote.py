"""Sending an export to where fsspec reaches: s3://, gs://, memory:// and the like."""

import re
from pathlib import Path

from factory.errors import ConfigError, FactoryError, MissingExtraError
from factory.exports.write import exported, is_shard
from factory.ownership import RECORD
from factory.readers.sources import refusals

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):/{1,2}(?P<rest>[^/].*)", re.IGNORECASE)


def url_of(out: str | Path) -> str | None:
    """`out` as a URL, or None for a local path; a Path that swallowed a slash of `s3://` gets it back."""
    found = _URL.fullmatch(str(out))
    if found is None or found["scheme"].lower() == "file":
        return None
    return f"{found['scheme'].lower()}://{found['rest'].rstrip('/')}"


def send(folder: Path, url: str) -> list[str]:
    """Copy the files of an export to `url`, README.md last, and remove shards of an earlier one; returns addresses.

    Raises MissingExtraError or ConfigError where nothing speaks the scheme, FactoryError when the place refuses.
    """
    import fsspec

    scheme = url.split("://", 1)[0]
    try:
        system, root = fsspec.core.url_to_fs(url)
        return _copy(folder, system, root, scheme)
    except ImportError as error:
        if scheme == "s3":
            raise MissingExtraError("s3", "s3fs") from None
        raise ConfigError(f"{url}: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{url}: {error}") from None
    except refusals() as error:
        raise FactoryError(f"{url}: cannot be written ({error}); check the address and your credentials") from None


def _copy(folder: Path, system: "fsspec.AbstractFileSystem", root: str, scheme: str) -> list[str]:  # type: ignore[name-defined]  # noqa: F821
    files = sorted(exported(folder), key=lambda path: (path.name == "README.md", path.as_posix()))
    names = [path.relative_to(folder).as_posix() for path in files]
    system.makedirs(root, exist_ok=True)
    for path, name in zip(files, names, strict=True):
        system.makedirs(f"{root}/{name}".rsplit("/", 1)[0], exist_ok=True)
        system.put_file(str(path), f"{root}/{name}")
    system.invalidate_cache()
    there = [str(found).removeprefix(root).lstrip("/") for found in system.find(root)]
    for stale in sorted(name for name in there if is_shard(name) and name not in names):
        system.rm_file(f"{root}/{stale}")
    return [f"{scheme}://{root.lstrip('/')}/{name}" for name in names if name != RECORD]
