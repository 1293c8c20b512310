"""Pushing an export to the Hub: one commit holds the whole data set, so that readers see the old one or the new one."""

import os
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from factory.errors import ConfigError, FactoryError, first_line
from factory.exports.write import exported, is_shard
from factory.progress import Progress, Silent

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
TOKEN = "HF_TOKEN"
_WHAT_TO_DO = {
    401: f"the Hub does not accept the token in {TOKEN}; give one with write access",
    403: f"the token in {TOKEN} may not write there; give one with write access",
    404: "there is no such user or organisation, or the token may not see it",
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
    token = token_for(repo)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token).whoami()
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise ConfigError(f"pushing to {repo}: {_WHAT_TO_DO[status]}") from None
        return f"the Hub did not say whose the token is ({first_line(error)})"
    except _network_errors() as error:
        return f"the Hub cannot be asked now ({first_line(error)})"
    return None


def push(folder: Path, repo: str, *, private: bool = False, progress: Progress | None = None) -> str:
    """Push the files of `folder` to the data set `repo` (USER/NAME), made if need be; returns its address.

    Shards of an earlier export that are no longer part of it are removed in the same commit. Run again after an
    interruption, it sends only what has not arrived. The token is read from HF_TOKEN, the address from HF_ENDPOINT.
    Raises ConfigError without a token or for a name that is none, FactoryError when the Hub refuses.
    """
    token = token_for(repo)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    try:
        return _commit(api, folder, repo, private, progress or Silent())
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise FactoryError(f"pushing to {repo}: {_WHAT_TO_DO.get(status, first_line(error))}") from None
    except HFValidationError as error:
        raise ConfigError(f"pushing to {repo}: {first_line(error)}") from None
    except _network_errors() as error:
        said = first_line(error)
        what = f"the connection to {api.endpoint} failed ({said}); run it again, it goes on where it stopped"
        raise FactoryError(f"pushing to {repo}: {what}") from None


def _commit(api: "HfApi", folder: Path, repo: str, private: bool, said: Progress) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    address = str(api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True))
    if private and not api.repo_info(repo, repo_type="dataset").private:
        raise ConfigError(f"{repo} exists already and is public; make it private on the Hub or push to another name")
    there = set(api.list_repo_files(repo, repo_type="dataset"))
    files = {path.relative_to(folder).as_posix(): path for path in exported(folder)}
    stale = sorted(name for name in there if is_shard(name) and name not in files)
    operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = []
    operations += [CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in files.items()]
    operations += [CommitOperationDelete(path_in_repo=name) for name in stale]
    said.say(f"pushing {len(files)} files to {address}")
    api.create_commit(repo, operations, commit_message="Export of sso-factory", repo_type="dataset")
    return address


def _network_errors() -> tuple[type[Exception], ...]:
    """What huggingface_hub lets through when a connection fails; its HTTP client changed its name more than once."""
    clients = [import_module(name) for name in ("httpx", "httpx2") if find_spec(name)]
    return (OSError, RuntimeError, *(client.HTTPError for client in clients))
