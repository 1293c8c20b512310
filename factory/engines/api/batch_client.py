"""The Batch API: what is known here of batches, and its calls, each kept up while the server is in trouble."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from factory.config.apis import OpenaiEngine
from factory.engines.api import transfer
from factory.engines.api.endpoint import Endpoint
from factory.engines.api.intake import UnreadableError, lines, parsed
from factory.engines.api.rate_limiter import Clock, Patience, backoff
from factory.errors import EngineError
from factory.files import cache_folder

if TYPE_CHECKING:
    from openai import OpenAI

_METADATA = "sso_factory"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_LOOK_BACK = 1000
"""Batches of the account among which one is looked for whose id was not written down before a kill."""
_PAGE = 100

_T = TypeVar("_T")
_Call = Callable[["OpenAI"], AbstractContextManager[Any]]


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


class ServerBatch(NamedTuple):
    """A batch as the server tells it; what it says in another type than it should is missing."""

    id: str
    status: str | None
    files: tuple[str, ...]
    """Where its answers are, and then its errors."""
    code: str | None
    message: str | None
    """Why it was turned down."""
    mark: str | None
    """The name that was given to it when it was made."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in _ENDED


class BatchClient:
    """Where files and batches are handed in and asked for. Whatever goes wrong for good is an EngineError."""

    def __init__(self, block: OpenaiEngine, endpoint: Endpoint, clock: Clock) -> None:
        self._block, self._endpoint, self._clock = block, endpoint, clock
        self._opened: OpenAI | None = None
        self._heard = False

    def upload(self, name: str, content: bytes) -> str:
        """The id of a file of requests."""
        return self._ask(lambda c: c.files.with_streaming_response.create(file=(name, content), purpose="batch"), _id)

    def create(self, file: str, mark: str) -> str:
        """The id of a new batch over a file. After trouble it is looked for first, lest it is made and paid twice."""
        made = lambda c: c.batches.with_streaming_response.create(  # noqa: E731
            input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h", metadata={_METADATA: mark}
        )
        return self._ask(made, _id, lambda: self.find(mark))

    def retrieve(self, name: str) -> ServerBatch:
        """How the batch of that id stands."""
        return self._ask(lambda c: c.batches.with_streaming_response.retrieve(name), partial(_told, name))

    def find(self, mark: str) -> str | None:
        """The id of the batch that was made under that mark, if it is among the account's latest."""
        after: dict[str, Any] = {}
        for _ in range(_LOOK_BACK // _PAGE):
            said = self._ask(lambda c: c.batches.with_streaming_response.list(limit=_PAGE, **after), dict)  # noqa: B023
            page = [_batch(item) for item in _listed(said)]
            if hit := next((batch.id for batch in page if batch.mark == mark and batch.id), None):
                return hit
            if not page or not page[-1].id or not (said.get("has_more")):
                return None
            after = {"after": page[-1].id}
        return None

    def records(self, file: str, most: int) -> Iterator[dict[str, Any]]:
        """The JSON objects in a file's lines, `most` at the most, as they come in; what is none is left out."""
        for _, line in zip(range(most), self._lines(file), strict=False):
            try:
                record = parsed(line, self._endpoint.scrub)
            except UnreadableError:
                continue
            if isinstance(record, dict):
                yield record

    def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _lines(self, file: str) -> Iterator[bytes]:
        """A file's lines; where the connection breaks, the file is taken up again after the last whole one."""
        # Counted, since a file is always sent from its beginning.
        client, patience, taken = self._client(), self._patience(), 0
        while True:
            with self._borne(patience), client.files.with_streaming_response.content(file) as raw:
                for line in islice(filter(bytes.strip, lines(raw.iter_bytes(), self._endpoint.most)), taken, None):
                    yield line
                    taken += 1
                return

    def _ask(self, call: _Call, read: Callable[[Any], _T], done: Callable[[], _T | None] = lambda: None) -> _T:
        """What `read` makes of the JSON object that a call brings, or what `done` has after trouble."""
        client, patience = self._client(), self._patience()
        while True:
            with self._borne(patience), call(client) as raw:
                said = parsed(transfer.whole(raw.iter_bytes(), self._endpoint.most), self._endpoint.scrub)
                if not isinstance(said, dict):
                    raise UnreadableError("the answer is no JSON object")
                found = read(said)
                self._heard = True
                return found
            # What failed may have failed on its way back.
            if (after_all := done()) is not None:
                return after_all

    def _patience(self) -> Patience:
        return Patience(self._block, self._clock.now())

    @contextmanager
    def _borne(self, patience: Patience) -> Iterator[None]:
        """Wait after a failure that another try may mend. Raises EngineError after others, and at patience's end."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the engine's boundary, as in Endpoint.ask
            failure, cause = self._endpoint.failure(error), error
        else:
            return
        hopeless = failure.kind in ("refused", "fatal")
        if hopeless or patience.over(failure, self._clock.now(), self._heard):
            # Here it is no model that the server does not know.
            unknown = getattr(cause.__cause__ or cause, "status", None) == 404
            raise self._failed(self._unknown() if unknown else failure.message) from cause
        patience.tell(failure, self._clock.now(), self._endpoint.shown)
        patience.tries += failure.retry_after is None
        self._clock.wait(failure.retry_after or backoff(patience.tries))

    def _client(self) -> "OpenAI":
        if self._opened is None:
            self._opened = self._endpoint.blocking_client(self._block.timeout)
        return self._opened

    def _unknown(self) -> str:
        folder = folder_of(self._block)
        return (
            "it knows no such batch or file, or has no Batch API: check base_url, and whether the key is still the "
            f"batch's; of one that is gone, remove the file in {folder}, and its requests are paid for again"
        )

    def _failed(self, why: str) -> EngineError:
        return EngineError(f"{self._endpoint.shown} failed at a batch ({why}); the same command goes on from here")


def _id(said: Mapping[str, Any]) -> str:
    name = _text(said.get("id"))
    if name is None:
        raise UnreadableError("the answer names no id")
    return name


def _told(name: str, said: Any) -> ServerBatch:
    batch = _batch(said, name)
    if batch.status is None:
        raise UnreadableError("the answer names no status")
    return batch


def _batch(said: Any, name: str = "") -> ServerBatch:
    """What an answer tells of a batch; `name` is its id where that is known."""
    said = said if isinstance(said, dict) else {}
    files = [_text(said.get(field)) for field in ("output_file_id", "error_file_id")]
    metadata, errors = said.get("metadata"), said.get("errors")
    first = next(iter(_listed(errors)), None)
    reason: Mapping[str, Any] = first if isinstance(first, dict) else {}
    return ServerBatch(
        id=name or _text(said.get("id")) or "",
        status=_text(said.get("status")),
        files=tuple(file for file in files if file),
        code=_text(reason.get("code")),
        message=_text(reason.get("message")),
        mark=_text(metadata.get(_METADATA)) if isinstance(metadata, dict) else None,
    )


def _listed(said: Any) -> list[Any]:
    found = said.get("data") if isinstance(said, dict) else None
    return found if isinstance(found, list) else []


def _text(value: Any) -> str | None:
    """A text that says something, of what may be anything."""
    return value if isinstance(value, str) and value.strip() else None
