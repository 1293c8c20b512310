"""The process that holds vLLM: requests in and results out over one connection, each result as it is there."""

import sys
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from factory.errors import named_line

STOP, ADD, ABORT = "stop", "add", "abort"
READY, DONE, FAILED, FATAL = "ready", "done", "failed", "fatal"


class SequenceJob(NamedTuple):
    """One sequence for vLLM. Plain values only, since it crosses processes."""

    name: str
    """Unique among all jobs of the process."""
    ids: list[int]
    max_tokens: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[int, ...] = ()
    choices: tuple[int, ...] = ()
    """Tokens whose log-probabilities are wanted as the first one generated."""
    score_from: int | None = None
    """Place in `ids` from which the log-probabilities of the prompt's own tokens are wanted."""


class JobOutcome(NamedTuple):
    """What came of a job."""

    name: str
    new: list[int]
    finish: str | None
    choices: dict[int, float] | None
    scores: list[float] | None


class Worker:
    """vLLM's add-request/step loop."""

    def __init__(self, arguments: dict[str, Any], lora: str | None, seeds: bool | None) -> None:
        """Load the model; `seeds` None sends requests' own seeds except on the CPU build, which crashes on them."""
        # Here, as the side that asks imports this module for what crosses, and must not load vLLM.
        from vllm import EngineArgs, LLMEngine
        from vllm.platforms import current_platform

        self._engine = LLMEngine.from_engine_args(EngineArgs(**arguments))
        self._seeds = not current_platform.is_cpu() if seeds is None else seeds
        self._adapter = _adapter(lora)
        self._open: dict[str, SequenceJob] = {}

    @property
    def context(self) -> int:
        """Most tokens of prompt and reply together."""
        return int(self._engine.model_config.max_model_len)

    def serve(self, connection: Connection) -> None:
        """Answer until told to stop, or until nobody listens any more."""
        connection.send((READY, self.context))
        while True:
            # While there is work, orders are only looked for; without any, `recv` waits, and takes no processor.
            while not self._open or connection.poll():
                order, jobs = connection.recv()
                if order == STOP:
                    return
                if order == ABORT:
                    self._abort()
                else:
                    self._add(connection, jobs)
            for output in self._engine.step():
                job = self._open.pop(output.request_id, None) if output.finished else None
                if job is not None:
                    connection.send((DONE, _outcome(job, output)))

    def _add(self, connection: Connection, jobs: list[SequenceJob]) -> None:
        for job in jobs:
            try:
                self._engine.add_request(
                    job.name, {"prompt_token_ids": job.ids}, self._parameters(job), lora_request=self._adapter
                )
            except Exception as error:  # noqa: BLE001 - one job that vLLM refuses must not end the others
                connection.send((FAILED, (job.name, named_line(error))))
            else:
                self._open[job.name] = job

    def _abort(self) -> None:
        self._engine.abort_request(list(self._open))
        self._open.clear()
        # Stepped until it is empty: an aborted request leaves the scheduler at its next step only.
        while self._engine.has_unfinished_requests():
            self._engine.step()

    def _parameters(self, job: SequenceJob) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        options: dict[str, Any] = {}
        if job.choices:
            options |= _choice_options(SamplingParams, job.choices)
        if job.score_from is not None:
            options["prompt_logprobs"] = 0  # the prompt's own tokens, no others
        return SamplingParams(
            max_tokens=job.max_tokens,
            temperature=job.temperature,
            top_p=job.top_p,
            seed=job.seed if self._seeds else None,
            stop_token_ids=list(job.stop),
            # There is no tokenizer on this side.
            detokenize=False,
            # One message per reply: vLLM's default sends all that there is after every token.
            output_kind=RequestOutputKind.FINAL_ONLY,
            **options,
        )


def _choice_options(parameters: Any, choices: tuple[int, ...]) -> dict[str, Any]:
    """The choices' own log-probabilities where this vLLM can name tokens, else those of the likeliest twenty."""
    if hasattr(parameters, "logprob_token_ids"):
        return {"logprobs": len(choices), "logprob_token_ids": list(choices)}
    return {"logprobs": 20}


def _outcome(job: SequenceJob, output: Any) -> JobOutcome:
    made = output.outputs[0]
    choices = scores = None
    if job.choices:
        first = made.logprobs[0] if made.logprobs else {}
        choices = {token: first[token].logprob for token in job.choices if token in first}
    if job.score_from is not None:
        places = range(job.score_from, len(job.ids))
        scores = [output.prompt_logprobs[place][job.ids[place]].logprob for place in places]
    return JobOutcome(job.name, list(made.token_ids), made.finish_reason, choices, scores)


def _adapter(folder: str | None) -> Any:
    if folder is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, folder)


def main() -> None:
    """Serve the connection whose file descriptor is the first argument."""
    connection = Connection(int(sys.argv[1]))
    try:
        Worker(*connection.recv()).serve(connection)
    except (EOFError, BrokenPipeError):
        pass  # the process that asked is gone
    except Exception as error:
        connection.send((FATAL, named_line(error)))
        raise
