"""A server on this machine for tests: real HTTP, answers by rule, faults on demand, a request log.

It speaks what it is asked in, by the path: OpenAI's language, Anthropic's Messages API, and Gemini's.

    with Loopback(answer=judging(longer), faults=every(3, throttled(retry_after=300))) as server:
        OpenaiEngine(base_url=server.base_url)

`python tests/loopback.py --latency 0.05 --judge longer` serves on its own; it prints its base URL.
"""

import argparse
import asyncio
import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self


class Seen(NamedTuple):
    """A request as the server got it."""

    number: int
    """0 for the first one, in the order of arrival."""
    tries: int
    """How often the same body came before."""
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def last(self) -> str:
        """What the last message says."""
        turn = (self.body.get("messages") or self.body.get("contents"))[-1]
        return str(turn["content"] if "content" in turn else turn["parts"][0]["text"])


@dataclass(frozen=True)
class Spoken:
    """What the model says: text, and how likely it thought its first tokens were."""

    text: str | None
    first: Mapping[str, float] = field(default_factory=dict)
    """Probability of first tokens, for log-probabilities."""
    finish: str | None = "stop"


@dataclass(frozen=True)
class Wire:
    """What goes over the wire instead of a good answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    reset: bool = False
    """Close with a TCP reset before a byte is sent."""
    delay: float = 0.0


Answer = Callable[[Seen], Spoken]
Fault = Callable[[Seen], Wire | None]


def error(status: int, message: str, **fields: Any) -> Wire:
    """An error as OpenAI writes it."""
    body = {"error": {"message": message, "type": None, "param": None, "code": None, **fields}}
    return Wire(status, json.dumps(body).encode())


def throttled(retry_after: float | str | None = None) -> Wire:
    """429, with Retry-After or without."""
    wire = error(429, "Rate limit reached", type="requests", code="rate_limit_exceeded")
    return wire if retry_after is None else Wire(wire.status, wire.body, {"Retry-After": str(retry_after)})


def no_quota() -> Wire:
    """429 for want of money."""
    return error(429, "You exceeded your current quota", type="insufficient_quota", code="insufficient_quota")


CRASH = error(500, "The server had an error")
RESET = Wire(reset=True)
HANG = Wire(hang=True)
EMPTY = Wire()
HALF = Wire(body=b'{"id": "x", "choices": [{"mess')


def every(n: int, *wires: Wire) -> Fault:
    """Each n-th request gets one of `wires`, in turn, whatever it is."""
    return lambda seen: wires[seen.number // n % len(wires)] if seen.number % n == n - 1 else None


def first_try(wires: Iterable[Wire]) -> Fault:
    """The first try of the i-th different body gets the i-th of `wires`; further tries and bodies are well."""
    left, lock = list(wires), threading.Lock()

    def fault(seen: Seen) -> Wire | None:
        with lock:
            return left.pop(0) if left and seen.tries == 0 else None

    return fault


def refusing(**fields: str) -> Fault:
    """400 for each body that has one of these fields, with the message given for it."""

    def fault(seen: Seen) -> Wire | None:
        return next((error(400, said, param=name) for name, said in fields.items() if name in seen.body), None)

    return fault


def echo(seen: Seen) -> Spoken:
    """Says what it was told."""
    return Spoken(f"echo: {seen.last}")


def numbered(seen: Seen) -> Spoken:
    """Says what it was told, and never the same twice: replies that are equal end a run."""
    return Spoken(f"{seen.number}: {seen.last}")


class Shown(NamedTuple):
    """What a judge was shown."""

    conversation: Any
    first: str
    second: str
    replies: Mapping[str, str]


def shown(seen: Seen) -> Shown:
    """The JSON object that the judge template puts before a judge."""
    said = seen.last
    value, _ = json.JSONDecoder().raw_decode(said[said.index('{"conversation"') :])
    first, second = value["replies"]
    replies = {entry["identifier"]: entry["reply"] for entry in (first, second)}
    return Shown(value["conversation"], first["identifier"], second["identifier"], replies)


Rule = Callable[[str, str], float]
"""How much more a judge likes the first of two replies than the second."""


def longer(first: str, second: str) -> float:
    """Likes length."""
    return float(len(first) - len(second))


def judging(rule: Rule, slot_bias: float = 0.0, form: str = "{}") -> Answer:
    """A judge that prefers by `rule`, with a liking for the first slot, and words its verdict as `form`."""

    def answer(seen: Seen) -> Spoken:
        case = shown(seen)
        liking = rule(case.replies[case.first], case.replies[case.second]) + slot_bias
        p = 1 / (1 + math.exp(-max(-30.0, min(30.0, liking))))
        verdict = case.first if liking >= 0 else case.second
        return Spoken(form.format(verdict), {case.first: p, case.second: 1 - p})

    return answer


class Loopback:
    """The server, in a thread of its own, while the `with` block lasts."""

    def __init__(
        self,
        answer: Answer = echo,
        faults: Fault = lambda seen: None,
        latency: float = 0.0,
        logprobs: bool = True,
        port: int = 0,
        other: Callable[[Seen], Wire | None] = lambda seen: None,
    ) -> None:
        self._answer, self._faults, self._latency, self._logprobs = answer, faults, latency, logprobs
        self._port, self._other = port, other
        self.log: list[Seen] = []
        self.most_in_flight = self._in_flight = 0
        self._tries: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()

    @property
    def base_url(self) -> str:
        """What goes into the configuration."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def asked(self) -> list[Seen]:
        """The requests for completions."""
        return [seen for seen in self.log if seen.path.endswith(tuple(_BODIES))]

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self._port, limit=2**26)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (seen := await self._read(reader)) is not None and await self._write(writer, seen):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Seen | None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        is_json = headers.get("content-type", "").startswith("application/json")
        key = f"{method} {path} {raw!r}"
        seen = Seen(len(self.log), self._tries[key], method, path, headers, json.loads(raw) if is_json and raw else raw)
        self._tries[key] += 1
        self.log.append(seen)
        return seen

    async def _write(self, writer: asyncio.StreamWriter, seen: Seen) -> bool:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            wire = self._other(seen) or self._faults(seen) or self._good(seen)
            await asyncio.sleep(self._latency + wire.delay)
            if wire.hang:
                await self._over.wait()
        finally:
            self._in_flight -= 1
        if wire.reset:
            writer.transport.abort()
            return False
        headers = {"content-type": "application/json", "content-length": str(len(wire.body)), **wire.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {wire.status} X\r\n{lines}\r\n".encode() + wire.body)
        await writer.drain()
        return True

    def _good(self, seen: Seen) -> Wire:
        write = next(write for path, write in _BODIES.items() if seen.path.endswith(path))
        return Wire(body=json.dumps(write(seen, self._answer(seen), self._logprobs)).encode())


def completion(seen: Seen, spoken: Spoken, logprobs: bool = True) -> dict[str, Any]:
    """The body of a good answer."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": spoken.text},
        "finish_reason": spoken.finish,
        "logprobs": None,
    }
    if logprobs and seen.body.get("logprobs") and spoken.first:
        likely = sorted(spoken.first.items(), key=lambda item: -item[1])[: seen.body["top_logprobs"]]
        top = [{"token": token, "logprob": math.log(max(p, 1e-30)), "bytes": None} for token, p in likely]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    sent = sum(len(turn["content"].split()) for turn in seen.body["messages"])
    received = len((spoken.text or "").split())
    usage = {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}
    return {"id": f"c{seen.number}", "object": "chat.completion", "created": 0, "model": seen.body["model"]} | {
        "choices": [choice],
        "usage": usage,
    }


def message(seen: Seen, spoken: Spoken, logprobs: bool = True) -> dict[str, Any]:
    """The body of a good answer as Anthropic writes it; part of the prompt came from its cache."""
    sent = sum(len(turn["content"].split()) for turn in seen.body["messages"]) + len(
        seen.body.get("system", "").split()
    )
    text = [{"type": "text", "text": spoken.text}] if spoken.text else []
    usage = {"input_tokens": sent - 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 1}
    return {
        "id": f"msg_{seen.number}",
        "type": "message",
        "role": "assistant",
        "model": seen.body["model"],
        "content": [{"type": "thinking", "thinking": "let me see", "signature": "x"}, *text],
        "stop_reason": {"stop": "end_turn", "length": "max_tokens"}.get(spoken.finish, spoken.finish),
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": len((spoken.text or "").split())},
    }


def candidate(seen: Seen, spoken: Spoken, logprobs: bool = True) -> dict[str, Any]:
    """The body of a good answer as Gemini writes it."""
    turns = [*seen.body["contents"], seen.body.get("systemInstruction", {"parts": []})]
    sent = sum(len(part["text"].split()) for turn in turns for part in turn["parts"])
    parts = [{"text": "let me see", "thought": True}, *([{"text": spoken.text}] if spoken.text else [])]
    reason = {"stop": "STOP", "length": "MAX_TOKENS"}.get(spoken.finish, spoken.finish)
    found: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}
    asked = seen.body["generationConfig"]
    if logprobs and asked.get("responseLogprobs") and spoken.first:
        likely = sorted(spoken.first.items(), key=lambda item: -item[1])[: asked["logprobs"]]
        top = [{"token": token, "logProbability": math.log(max(p, 1e-30))} for token, p in likely]
        found["logprobsResult"] = {"topCandidates": [{"candidates": top}], "chosenCandidates": top[:1]}
    received = len((spoken.text or "").split())
    usage = {"promptTokenCount": sent, "candidatesTokenCount": received, "thoughtsTokenCount": 3}
    return {
        "candidates": [found],
        "usageMetadata": usage | {"totalTokenCount": sent + received + 3},
        "modelVersion": "x",
        "responseId": f"g{seen.number}",
    }


_BODIES: dict[str, Callable[[Seen, Spoken, bool], dict[str, Any]]] = {
    "/chat/completions": completion,
    "/messages": message,
    ":generateContent": candidate,
}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="Serve an OpenAI-compatible loopback server.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--judge", choices=["longer"], help="Judge instead of echoing.")
    options = parser.parse_args()
    with Loopback(judging(longer) if options.judge else numbered, latency=options.latency, port=options.port) as server:
        print(server.base_url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
