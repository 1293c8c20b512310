"""What a stage's manifest holds, and reading one that may hold anything."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from factory.errors import StoreError
from factory.store.journal import Usage

MANIFEST_VERSION = 1


class _Versioned(BaseModel, strict=True):
    version: int


class _Facts(BaseModel, strict=True, extra="allow"):
    rows: int | None = None
    rejected: int | None = None
    reasons: dict[str, int] = {}
    values: dict[str, int] = {}


class _Manifest(_Versioned):
    """What a manifest holds; of any other types it is none."""

    stage: str
    fingerprint: str
    inputs: dict[str, Any]
    outputs: dict[str, tuple[int, int, str]]
    facts: _Facts
    used: dict[str, Usage] = {}
    seconds: float | None = None


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest at `path`, or None where there is none that can be read."""
    try:
        content = path.read_bytes()
        # Before the rest: a newer version may have other fields, and taken for garbage its stage would be made again,
        # and paid again.
        if _Versioned.model_validate_json(content).version > MANIFEST_VERSION:
            raise StoreError(f"{path} was written by a newer version of sso-factory; upgrade to go on with this run")
        return _Manifest.model_validate_json(content).model_dump(exclude_unset=True)
    except (FileNotFoundError, ValidationError):
        return None
