"""The Batch API for `Loopback(other=BatchDesk().handle)`: files, batches, polling, and what can go wrong with them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from tests.loopback import Answer, Seen, Wire, completion, echo, error

Line = dict[str, Any]


@dataclass
class Filed:
    """A batch as the server holds it."""

    id: str
    file: str
    metadata: dict[str, str]
    polls: int = 0
    status: str = "validating"
    output: str | None = None
    errors: str | None = None
    reason: dict[str, Any] | None = None


def well(batch: int, line: int) -> str:
    """Every line is answered."""
    return "ok"


@dataclass
class BatchDesk:
    """`fate(batch, line)` says for the line of that number what comes of it: ok, expired, missing, crash, or a message
    with which it is refused. `turned_down` gives the error code a batch fails with, by its number."""

    answer: Answer = echo
    fate: Callable[[int, int], str] = well
    turned_down: Callable[[int], str | None] = lambda number: None
    polls: int = 2
    """How often it is asked before a batch is done."""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: list[Filed] = field(default_factory=list)

    def handle(self, seen: Seen) -> Wire | None:
        path = seen.path.split("?")[0]
        if path == "/v1/files":
            return _json({"id": self._store(_upload(seen)), "object": "file"})
        if path.startswith("/v1/files/"):
            return Wire(body=self.files[path.split("/")[3]], headers={"content-type": "application/octet-stream"})
        if path == "/v1/batches" and seen.method == "POST":
            body = seen.body
            self.batches.append(Filed(f"batch-{len(self.batches)}", body["input_file_id"], body["metadata"]))
            return _json(_show(self.batches[-1]))
        if path == "/v1/batches":
            return _json({"object": "list", "data": [_show(b) for b in reversed(self.batches)], "has_more": False})
        if path.startswith("/v1/batches/"):
            return self._poll(path.split("/")[3])
        return None

    def lines(self, batch: int) -> list[Line]:
        """What was asked in a batch."""
        return [json.loads(line) for line in self.files[self.batches[batch].file].splitlines()]

    def _store(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def _poll(self, name: str) -> Wire:
        number = next((n for n, batch in enumerate(self.batches) if batch.id == name), None)
        if number is None:
            return error(404, "no such batch")
        batch = self.batches[number]
        batch.polls += 1
        if batch.polls >= self.polls and batch.status == "validating":
            self._finish(number, batch)
        return _json(_show(batch))

    def _finish(self, number: int, batch: Filed) -> None:
        code = self.turned_down(number)
        if code is not None:
            batch.status, batch.reason = "failed", {"code": code, "message": f"turned down: {code}"}
            return
        done: list[Line] = []
        failed: list[Line] = []
        for position, line in enumerate(self.lines(number)):
            fate = self.fate(number, position)
            if fate == "ok":
                seen = Seen(position, 0, "POST", line["url"], {}, line["body"])
                done.append(_line(line, 200, completion(seen, self.answer(seen))))
            elif fate == "expired":
                said = {"code": "batch_expired", "message": "This request could not be executed in time"}
                failed.append({"custom_id": line["custom_id"], "response": None, "error": said})
            elif fate != "missing":
                status = 500 if fate == "crash" else 400
                failed.append(_line(line, status, {"error": {"message": fate, "code": None, "param": None}}))
        batch.status = "expired" if any(line["error"] for line in failed) else "completed"
        batch.output = self._store(_jsonl(reversed(done))) if done else None
        batch.errors = self._store(_jsonl(failed)) if failed else None


def _line(line: Line, status: int, body: Any) -> Line:
    response = {"status_code": status, "request_id": "x", "body": body}
    return {"id": "x", "custom_id": line["custom_id"], "response": response, "error": None}


def _jsonl(lines: Any) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def _json(value: Any) -> Wire:
    return Wire(body=json.dumps(value).encode())


def _show(batch: Filed) -> dict[str, Any]:
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "created_at": 0,
        "input_file_id": batch.file,
        "status": batch.status,
        "metadata": batch.metadata,
        "output_file_id": batch.output,
        "error_file_id": batch.errors,
        "errors": {"object": "list", "data": [batch.reason]} if batch.reason else None,
    }


def _upload(seen: Seen) -> bytes:
    head = f"content-type: {seen.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + seen.body)
    for part in message.iter_parts():  # type: ignore[attr-defined]
        if part.get_param("name", header="content-disposition") == "file":
            content: bytes = part.get_payload(decode=True)
            return content
    raise AssertionError("no file in the upload")
