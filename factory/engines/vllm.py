"""vLLM, offline, in a process of its own: its memory is free as soon as the engine is closed."""

import contextlib
import json
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from factory.config.engines import VllmEngine
from factory.engines.base import Completion, Request, Score, ScoreRequest
from factory.engines.child import CLOSE_SECONDS, Child, environment
from factory.engines.render import Prompt, Renderer, unscored
from factory.engines.vllm_worker import ABORT, ADD, DONE, FAILED, READY, STOP, JobOutcome, SequenceJob
from factory.errors import EngineError
from factory.identity import Messages
from factory.models.chat import end_ids
from factory.models.load import merged_path
from factory.models.ref import ModelRef

WORKER = "factory.engines.vllm_worker"


class Process:
    """The worker process: started, spoken to, and ended."""

    def __init__(self, arguments: Mapping[str, Any], lora: str | None, seeds: bool | None) -> None:
        """Start it and wait until the model is loaded; `context` is then known."""
        # Not the standard streams, into which vLLM and CUDA libraries print.
        ours, theirs = socket.socketpair()
        start = f"from {WORKER} import main; main()"  # by import, as what it sends names its module
        command = [sys.executable, "-c", start, str(theirs.fileno())]
        self._child = Child(command, environment(VLLM_NO_USAGE_STATS="1"), [theirs.fileno()])
        # Closed here: while this process holds that end too, the death of the other one is never seen.
        theirs.close()
        self._connection = Connection(ours.detach())
        try:
            self.send((dict(arguments), lora, seeds))
            self.context: int = self.receive()[1]
        # Also on Ctrl-C: a process that is still loading would go on, and keep the GPU.
        except BaseException:
            self.close()
            raise

    def send(self, message: Any) -> None:
        """Raises EngineError when the process is gone."""
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._death() from error

    def receive(self) -> tuple[str, Any]:
        """The next message. Raises EngineError when vLLM failed or its process is gone."""
        try:
            kind, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        if kind not in (READY, DONE, FAILED):
            raise EngineError(f"vLLM failed: {value}{self._child.last_words()}")
        return kind, value

    def close(self) -> None:
        """Ask it to stop, give it a while, then end its whole group, and wait."""
        with contextlib.suppress(OSError):
            self._connection.send((STOP, None))
        self._connection.close()
        self._child.end(CLOSE_SECONDS)

    def _death(self) -> EngineError:
        # The connection breaks a moment before the process is gone and its exit code known.
        code = self._child.exit_code(5)
        return EngineError(f"the vLLM process ended (exit code {code}){self._child.last_words()}")


class VllmModel:
    """Generator and scorer over vLLM. Sequences stream out as they finish; shared beginnings are computed once."""

    def __init__(self, block: VllmEngine, model: ModelRef) -> None:
        """Start the process and load the model. Raises EngineError with vLLM's own words when it cannot."""
        self._ref = model
        self._renderer = Renderer(model)
        self._run = 0
        self._open = False
        self._merged = TemporaryDirectory(prefix="sso-policy-")
        try:
            path = merged_path(model, self._merged.name)
            self._ends = tuple(sorted(end_ids(self._renderer.tokenizer) | _configured_ends(path)))
            self._process = Process(arguments(block, model, path), block.lora, block.per_request_seeds)
        except BaseException:
            self._merged.cleanup()
            raise
        self.context_length: int | None = self._process.context

    @property
    def identity(self) -> str:
        """The model's name or fingerprint."""
        return f"vllm:{self._ref.identity}"

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        """Prompt length of each conversation in tokens."""
        return [self._renderer.count(messages) for messages in conversations]

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield each completion as soon as it is there. Raises EngineError when the process dies."""
        prompts: dict[str, Prompt] = {}
        for request in requests:
            made = self._renderer.prompt(request, self.context_length)
            if isinstance(made, Completion):
                yield made
            else:
                prompts[request.id] = made
        asked = {request.id: request for request in requests}
        jobs = [self._job(asked[name], prompt) for name, prompt in prompts.items()]
        for name, outcome in self._outcomes(jobs):
            yield self._completion(name, prompts[name], outcome)

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        """Mean log-probability of each reply under its prompt, computed by vLLM in its own precision."""
        waiting: dict[str, tuple[ScoreRequest, tuple[list[int], ...]]] = {}
        found: dict[str, dict[int, JobOutcome | str]] = {}
        jobs: list[SequenceJob] = []
        for request in requests:
            # One token of room is kept: vLLM generates at least one behind what it scores.
            made = self._renderer.replies(request, None if self.context_length is None else self.context_length - 1)
            if isinstance(made, Score):
                yield made
                continue
            prompt, replies = made
            waiting[request.id], found[request.id] = (request, replies), {}
            jobs += [
                SequenceJob(f"{request.id}#{place}", prompt + ids, score_from=len(prompt))
                for place, ids in enumerate(replies)
                if ids
            ]
            if not any(replies):
                yield _score(request, replies, {})
        for name, outcome in self._outcomes(jobs):
            owner, _, place = name.rpartition("#")
            request, replies = waiting[owner]
            found[owner][int(place)] = outcome
            if len(found[owner]) == sum(map(bool, replies)):
                yield _score(request, replies, found.pop(owner))

    def close(self) -> None:
        """End the process and wait until it is gone."""
        self._process.close()
        self._merged.cleanup()

    def _job(self, request: Request, prompt: Prompt) -> SequenceJob:
        if prompt.choices:
            # A judge's answer is read off the first token's log-probabilities, which sampling would not change.
            return SequenceJob(request.id, prompt.ids, stop=self._ends, choices=tuple(prompt.choices.values()))
        return SequenceJob(
            request.id, prompt.ids, prompt.room, request.temperature, request.top_p, request.seed % 2**63, self._ends
        )

    def _outcomes(self, jobs: Sequence[SequenceJob]) -> Iterator[tuple[str, JobOutcome | str]]:
        """What came of each job, or why it failed, in the order they finish."""
        # The last run was left before its end; what it has not delivered would be computed for nobody.
        if self._open:
            self._process.send((ABORT, None))
        self._run, self._open = self._run + 1, True
        # In each name, as results of a run that was left may still be on their way.
        mark = f"{self._run}/"
        self._process.send((ADD, [job._replace(name=mark + job.name) for job in jobs]))
        left = len(jobs)
        while left:
            kind, value = self._process.receive()
            name = value[0]
            if not name.startswith(mark):
                continue  # of an earlier run that nobody waits for
            left -= 1
            yield name.removeprefix(mark), value if kind == DONE else value[1]
        self._open = False

    def _completion(self, name: str, prompt: Prompt, outcome: JobOutcome | str) -> Completion:
        if isinstance(outcome, str):
            return Completion(name, None, prompt_tokens=len(prompt.ids), error=outcome)
        # "stop" without an end token is vLLM's own cut, whose last token belongs to the reply.
        ended = outcome.finish == "stop" and outcome.new[-1:] and outcome.new[-1] in self._ends
        text = self._renderer.text(outcome.new[:-1] if ended else outcome.new)
        logprobs = None
        if prompt.choices and outcome.choices:
            logprobs = {
                choice: outcome.choices[token] for choice, token in prompt.choices.items() if token in outcome.choices
            }
            text = max(logprobs, key=logprobs.__getitem__)
        finish = "stop" if logprobs else outcome.finish
        return Completion(name, text, finish, len(prompt.ids), len(outcome.new), choice_logprobs=logprobs)


def _score(request: ScoreRequest, replies: Sequence[list[int]], found: Mapping[int, JobOutcome | str]) -> Score:
    """From what came of the jobs of those replies that have tokens, by place."""
    failed = next((one for one in found.values() if isinstance(one, str)), None)
    if failed is not None:
        return unscored(request, failed)
    scores = {place: one.scores for place, one in found.items() if isinstance(one, JobOutcome) and one.scores}
    means = {place: sum(logps) / len(logps) for place, logps in scores.items()}
    return Score(request.id, tuple(map(means.get, range(len(replies)))), tuple(map(len, replies)))


def arguments(block: VllmEngine, model: ModelRef, path: str) -> dict[str, Any]:
    """The block as arguments of vllm.EngineArgs; what it leaves open is left to vLLM."""
    values: dict[str, Any] = {
        "model": path,
        "dtype": block.dtype,
        "tensor_parallel_size": block.tensor_parallel_size,
        "pipeline_parallel_size": block.pipeline_parallel_size,
        "enforce_eager": block.enforce_eager,
        "trust_remote_code": model.trust_remote_code,
        "enable_prefix_caching": True,
        # Tokens go in and come out: a second tokenizer could disagree with the one that trains.
        "skip_tokenizer_init": True,
        "disable_log_stats": True,
    }
    for name in ("gpu_memory_utilization", "max_model_len", "quantization"):
        if getattr(block, name) is not None:
            values[name] = getattr(block, name)
    if block.lora is not None:
        values |= {"enable_lora": True, "max_lora_rank": _lora_rank(block.lora)}
    return {**values, **block.options}


def _lora_rank(folder: str) -> int:
    try:
        rank = json.loads((Path(folder) / "adapter_config.json").read_text("utf-8"))["r"]
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(f"engine.lora: {folder} is no LoRA adapter: no adapter_config.json with a rank") from error
    return max(8, int(rank))


def _configured_ends(path: str) -> frozenset[int]:
    """End tokens of the model's generation config, where it lies in a folder; vLLM reads it for others."""
    file = Path(path) / "generation_config.json"
    if not file.is_file():
        return frozenset()
    ends = json.loads(file.read_text("utf-8")).get("eos_token_id")
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])
