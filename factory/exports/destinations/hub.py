"""Pushing an export to the Hub: one commit holds the whole data set, so that readers see the old one or the new one."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from factory.errors import ConfigError, FactoryError, first_line, network_errors
from factory.exports import exporter
from factory.exports.destinations.elsewhere import RemoteContents, record_text
from factory.exports.destinations.write import README, places_of
from factory.progress import Progress, Silent
from factory.store.ownership import RECORD, Record

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
TOKEN = "HF_TOKEN"
_WHAT_TO_DO = {
    401: f"the Hub does not accept the token in {TOKEN}; give one with write access",
    403: f"the token in {TOKEN} may not write there; give one with write access",
    404: "there is no such user or organisation, or the token may not see it",
    412: "somebody else wrote there meanwhile; run it again",
    413: "a file is too large for the Hub; lower export.shard_rows",
    429: "the Hub asks to slow down; run the same command again later",
}


def token_for(repo: str) -> str:
    """The token that a push to `repo` will use. ConfigError without one, or for a name that is none."""
    if not _REPO.fullmatch(repo):
        raise ConfigError(f"{repo!r} is no name of a repository; write it as USER/NAME")
    token = os.environ.get(TOKEN)
    if not token:
        raise ConfigError(f"pushing to the Hub needs a token: set {TOKEN}")
    return token


def check_token(repo: str) -> str | None:
    """Ask the Hub whose the token is; returns why that cannot be told now. ConfigError where it is not accepted."""
    api = _hub_for(repo)
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.whoami()
    except HfHubHTTPError as error:
        # Anything else may pass until the export is pushed, and is then said in full.
        if _status(error) in (401, 403):
            raise ConfigError(f"pushing to {repo}: {_WHAT_TO_DO[_status(error)]}") from None
        return f"the Hub did not say whose the token is ({first_line(error)})"
    except network_errors() as error:
        return f"the Hub cannot be asked now ({first_line(error)})"
    return None


def require_free(repo: str, format: str, *, private: bool = False) -> None:
    """Raise ConfigError where an export cannot be pushed to `repo`: no token, no such name, public, or files of others.

    FactoryError when the Hub refuses or cannot be reached. Nothing is changed there.
    """
    with _asking(repo) as api:
        _standing(api, repo, private)[0].require_free(places_of(exporter(format)))


def push(folder: Path, repo: str, *, private: bool = False, progress: Progress | None = None) -> str:
    """Push the files of `folder` to the data set `repo` (USER/NAME), made if need be; returns its address.

    Files of an earlier export that are no longer part of it, by the record that lies there, are removed in the same
    commit; a README.md that somebody wrote or changed there is left alone. Run again after an interruption, it sends
    only what has not arrived. The token is read from HF_TOKEN, the address from HF_ENDPOINT. Raises ConfigError without
    a token, for a name that is none, or a foreign file in the way, FactoryError when the Hub refuses.
    """
    said = progress or Silent()
    with _asking(repo) as api:
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

        # exist_ok: two pushes at once may both find it missing.
        address = str(api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True))
        there, latest = _standing(api, repo, private)
        files = there.to_send(folder)
        if README not in files and (folder / README).is_file():
            said.say(f"{repo}: its README.md is not the factory's, or was changed there, and is left as it is")
        record = record_text(Record.read(folder), {name: _marks(path) for name, path in files.items()}).encode()
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in files.items()),
            CommitOperationAdd(path_in_repo=RECORD, path_or_fileobj=record),
            *(CommitOperationDelete(path_in_repo=name) for name in there.stale(files)),
        ]
        said.say(f"pushing {len(files)} files to {address}")
        # On the commit that was looked at: one that somebody has made since is a conflict, and not overwritten.
        api.create_commit(
            repo, operations, commit_message="Export of sso-factory", repo_type="dataset", parent_commit=latest
        )
        return address


def _hub_for(repo: str) -> "HfApi":
    token = token_for(repo)
    # Here, as huggingface_hub is slow to load, and few commands push.
    from huggingface_hub import HfApi

    # An address that is set to nothing would be asked as one; the library takes None for its own.
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)


def _status(error: "HfHubHTTPError") -> int:
    # What is raised before an answer is there has no response.
    return error.response.status_code if error.response is not None else 0


@contextmanager
def _asking(repo: str) -> Iterator["HfApi"]:
    """The Hub; what goes wrong with it is one sentence."""
    api = _hub_for(repo)
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        yield api
    except HfHubHTTPError as error:
        raise FactoryError(f"pushing to {repo}: {_WHAT_TO_DO.get(_status(error), first_line(error))}") from None
    except HFValidationError as error:
        raise ConfigError(f"pushing to {repo}: {first_line(error)}") from None
    except network_errors() as error:
        said = first_line(error)
        what = f"the connection to {api.endpoint} failed ({said}); run it again, it goes on where it stopped"
        raise FactoryError(f"pushing to {repo}: {what}") from None


def _standing(api: "HfApi", repo: str, private: bool) -> tuple[RemoteContents, str | None]:
    """What lies in a repository, and its latest commit."""
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.hf_api import RepoFile

    try:
        found = api.repo_info(repo, repo_type="dataset")
    except RepositoryNotFoundError:
        return RemoteContents(repo, {}, {}), None
    if private and not found.private:
        raise ConfigError(f"{repo} exists already and is public; make it private on the Hub or push to another name")
    # One listing, folders among it; of a large file the Hub knows SHA-256, of any other git's own hash.
    tree = api.list_repo_tree(repo, repo_type="dataset", recursive=True)
    found_files = [each for each in tree if isinstance(each, RepoFile)]
    files = {each.path: [each.lfs.sha256 if each.lfs else each.blob_id] for each in found_files}
    record = _fetched(api, repo, RECORD) if RECORD in files else None
    return RemoteContents.of(f"{api.endpoint}/datasets/{repo}", files, record), found.sha


def _fetched(api: "HfApi", repo: str, name: str) -> str:
    with TemporaryDirectory() as folder:
        # Into a folder of its own and by force: the cache may hold the record of an earlier commit.
        place = api.hf_hub_download(repo, name, repo_type="dataset", local_dir=folder, force_download=True)
        return Path(place).read_text(encoding="utf-8", errors="replace")


def _marks(path: Path) -> list[str]:
    """What the Hub calls the contents: as a file of git's, and as a large one."""
    # SHA-1 names a file to git, and proves nothing here; without the flag a FIPS build of Python refuses it.
    git, large = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False), hashlib.sha256()
    # Both in one pass, as a shard may be gigabytes.
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            git.update(block)
            large.update(block)
    return [git.hexdigest(), large.hexdigest()]
