"""What is known of batches under way, kept in a folder so that a killed process finds them again."""

import json
import os
from collections.abc import Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from factory.config.apis import OpenaiEngine
from factory.errors import EngineError
from factory.files import cache_folder


@dataclass
class Sent:
    """A batch: what is asked in it and where."""

    mark: str
    """Names the batch in its metadata, before the server has given it an id."""
    identity: str
    keys: list[str]
    """Request keys, which are the custom_ids."""
    batch: Annotated[str, Field(min_length=1)] | None = None
    """The server's id; None while it is being created."""
    money: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """What is set aside for it."""
    paid: bool = False
    """Whether what it came to was counted."""


_SENT = TypeAdapter(Sent)


def folder_of(block: OpenaiEngine) -> Path:
    """Where batches are remembered: in the engine's cache, or the user's."""
    return Path(block.cache_dir or cache_folder()) / "batches"


class BatchFolder:
    """One JSON file per batch, written whole or not at all, removed once its answers are dealt with."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, sent: Sent) -> None:
        """Remember `sent`, in place of what was known of it."""
        path = self._path(sent)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Synced before it is renamed: after a power cut the name would else stand for an empty file.
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(asdict(sent), file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise EngineError(f"{path} cannot be written ({error.strerror}), and batches need it") from error

    def forget(self, sent: Sent) -> None:
        """Its answers are dealt with."""
        self._path(sent).unlink(missing_ok=True)

    def find(self, identity: str, keys: Set[str]) -> list[Sent]:
        """The batches of this engine that hold any of `keys`."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            sent = _read(path)
            if sent and sent.identity == identity and not keys.isdisjoint(sent.keys):
                found.append(sent)
        return found

    def _path(self, sent: Sent) -> Path:
        return self._folder / f"{sent.mark}.json"


def _read(path: Path) -> Sent | None:
    """What the file says, or None where it is none of ours or garbled."""
    try:
        sent = _SENT.validate_json(path.read_bytes(), strict=True)
    except (OSError, ValidationError):
        return None
    return sent if sent.mark == path.stem else None
