"""transformers in this process, on the CPU or one GPU: generates, and scores replies, with one model."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from factory.config.engines import TransformersEngine
from factory.engines.base import Completion, Request, Score, ScoreRequest
from factory.engines.decoding import Decoder, DecodingRow
from factory.engines.lone_failures import LoneFailures
from factory.engines.render import Renderer, unscored
from factory.errors import named_line
from factory.identity import Messages
from factory.models.attention import even_up_to, evenly
from factory.models.chat import end_ids
from factory.models.exact import exact
from factory.models.layout import Encoded, buckets, layout
from factory.models.load import context_length, device_of, load_model
from factory.models.ref import ModelRef
from factory.models.sequences import SequencePlan, plan_for, reply_logps

Item = tuple[ScoreRequest, Encoded]
CPU_SCORING_TOKENS = 2048
"""Most tokens in a scoring pass on a CPU: of 16,384 its caches hold too little, and each takes a third longer."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TransformersModel:
    """Generator and scorer over one model, loaded when it is first needed.

    Replies are sampled from each request's own seed, whatever else is in the batch; rounding aside, the same request
    gets the same reply. Scores are computed as training computes them: auto is float32 on the CPU and float32 weights
    under bfloat16 autocast on a GPU, so that policy and reference agree before the first step.
    """

    def __init__(self, block: TransformersEngine, model: ModelRef) -> None:
        """Load the tokenizer. Raises EngineError when there is no such model or device."""
        self._block, self._ref = block, model
        self._device = device_of(block.device)
        self._renderer = Renderer(model)
        self._model: Any = None
        self._plan: SequencePlan | None = None
        self.context_length: int | None = context_length(model)

    @property
    def identity(self) -> str:
        """The model's name or fingerprint."""
        return f"transformers:{self._ref.identity}"

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        """Prompt length of each conversation in tokens; of one that the chat template refuses, of its contents."""
        return [self._renderer.count(messages) for messages in conversations]

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield each completion as soon as it is there.

        Raises EngineError when the weights cannot be loaded, or nothing at all can be run with them.
        """
        auto = torch.bfloat16 if _computes_bfloat16(self._device) else torch.float32
        model = self._load(DTYPES.get(self._block.dtype, auto))
        ends = end_ids(self._renderer.tokenizer, model)
        rows: dict[DecodingRow, Request] = {}
        for request in requests:
            prompt = self._renderer.prompt(request, self.context_length)
            if isinstance(prompt, Completion):
                yield prompt
            else:
                row = DecodingRow(
                    prompt.ids, prompt.room, request.temperature, request.top_p, request.seed, prompt.choices
                )
                rows[row] = request
        decoder = Decoder(model, ends, min(ends), self._block.batch_tokens)
        for row in decoder.run(list(rows)):
            yield self._completion(rows[row], row, ends)

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        """Mean log-probability of each reply under its prompt, end-of-turn token included where it finished."""
        model = self._load(DTYPES.get(self._block.dtype, torch.float32))
        if self._plan is None:
            self._plan = plan_for(model)
        items: list[tuple[ScoreRequest, Encoded]] = []
        for request in requests:
            made = self._renderer.replies(request, self.context_length)
            if isinstance(made, Score):
                yield made
            else:
                items.append((request, Encoded(*made)))
        kind = self._plan.layout
        padded = [item.longest * len(item.replies) for _, item in items]
        lengths = padded if kind == "separate" else [item.tokens(kind) for _, item in items]
        room = self._block.batch_tokens
        most = min(room, CPU_SCORING_TOKENS) if self._device == "cpu" else room
        places = buckets(lengths, most, padded=kind != "flat")
        groups = [[items[place] for place in group] for group in places]
        token = min(end_ids(self._renderer.tokenizer, model))
        failures = LoneFailures(lambda: self._means([Encoded([token], ([token],))]))
        while groups:
            yield from self._scored(groups, groups.pop(), failures)

    def close(self) -> None:
        """Let go of the weights."""
        self._model = self._plan = None
        # Models hold cycles (hooks, configs), so that counting references alone would not free the weights now.
        gc.collect()
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _load(self, dtype: torch.dtype) -> Any:
        """The model in `dtype`; another one than before is read again, so that only one is held."""
        if self._model is None or self._model.dtype != dtype:
            self.close()
            self._model = load_model(self._ref, self._device, dtype)
        return self._model

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._block.dtype == "auto" and self._device.startswith("cuda"):
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return nullcontext()

    def _completion(self, request: Request, row: DecodingRow, ends: frozenset[int]) -> Completion:
        text = None
        if row.choices is not None and row.choice_logprobs is not None:
            text = next((name for name, token in row.choices.items() if row.new == [token]), "")
        elif row.error is None:
            ids = row.new[:-1] if row.new[-1] in ends else row.new
            text = self._renderer.text(ids)
        return Completion(
            request.id,
            text,
            row.finish,
            prompt_tokens=len(row.prompt),
            completion_tokens=len(row.new),
            choice_logprobs=row.choice_logprobs,
            error=row.error,
        )

    def _scored(self, groups: list[list[Item]], items: list[Item], failures: LoneFailures) -> Iterator[Score]:
        """Score one group; a failed one goes back in halves, and an item that fails alone is given up."""
        try:
            means, counts = self._means([item for _, item in items])
        except Exception as error:  # noqa: BLE001 - out of memory has many types; an item that fails alone reports it
            half = len(items) // 2
            if half:
                # In halves, as only how much fits is unknown, not what is wrong: log2 of the group's size tries at the
                # most.
                groups += [items[:half], items[half:]]
            else:
                yield unscored(items[0][0], named_line(error))
                failures.add(error)
            return
        failures.answered()
        start = 0
        for request, item in items:
            part = slice(start, start := start + len(item.replies))
            logps = (mean if count else None for mean, count in zip(means[part], counts[part], strict=True))
            yield Score(request.id, tuple(logps), tuple(counts[part]))

    @torch.inference_mode()
    def _means(self, items: list[Encoded]) -> tuple[list[float], list[int]]:
        assert self._plan is not None
        groups = evenly(items, even_up_to(self._model.config))
        with self._autocast():
            batches = (layout(group, self._plan.layout).to(self._device) for group in groups)
            found = [reply_logps(self._model, batch, self._plan) for batch in batches]
        sums, counts = (torch.cat(part) for part in zip(*found, strict=True))
        # At least one token, as an empty reply has none; its mean is replaced by None where counts are read.
        return (exact(sums) / exact(counts.clamp(min=1))).tolist(), counts.tolist()


def _computes_bfloat16(device: str) -> bool:
    """Whether bfloat16 is native: on GPUs, and on CPUs that know it (there 2 to 3 times as fast as float32)."""
    if device != "cpu":
        return True
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
