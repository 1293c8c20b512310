"""What the training benchmark measures: one function a variant, each run in a process of its own."""

import json
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.training_pairs import MODEL, pair_rows
from factory.schema import REPLIES

VARIANTS = {
    "trl": "(a) TRL DPOTrainer, IPO, online reference",
    "trl_recomputing": "(a) computing whole layers again",
    "plain": "(b) SSO, separate sequences, online reference",
    "ours": "(c) SSO, this package",
    "ours_keeping": "(c) keeping all",
    "ours_selective": "(c) keeping large products",
    "ours_quarter": "(c) steering_share: 0.25",
    "scores": "(d) the score stage of such a run",
    "ours_bfloat16": "(c) in bfloat16 autocast",
    "trl_bfloat16": "(a) in bfloat16 autocast",
}


class Measured(NamedTuple):
    """What one process found."""

    seconds: float
    """Wall time per pair, in the step that took least of the processor."""
    cpu_seconds: float
    """Processor time per pair in that step, over all cores: what a busy machine disturbs least."""
    peak_gib: float
    extra: dict[str, float]


class StepClock:
    """Times steps; the first is warm-up."""

    def __init__(self, pairs: int) -> None:
        self._pairs, self._began, self.steps = pairs, (0.0, 0.0), []

    def begin(self) -> None:
        """A step begins."""
        self._began = (time.perf_counter(), time.process_time())

    def end(self) -> None:
        """It is over, the optimiser's part included."""
        wall, cpu = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        self.steps.append((wall / self._pairs, cpu / self._pairs))
        self.begin()

    def best(self, **extra: float) -> Measured:
        """The fastest step after the first, and the peak memory of the process."""
        wall, cpu = min(self.steps[1:], key=lambda step: step[1])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB
        return Measured(wall, cpu, peak, extra)


def run_trl(pairs: int, steps: int, half: bool, recomputing: bool = False) -> Measured:
    """TRL's DPOTrainer on the plain prompt, chosen and rejected of the same pairs."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    from factory.models.load import resolve

    clock = StepClock(pairs)

    class Ticking(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.end()

    path = resolve(MODEL)
    rows = [
        {side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")}
        | {"prompt": row["prompt"]}
        for row in pair_rows(pairs * (steps + 1))
    ]
    with tempfile.TemporaryDirectory() as out:
        options = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": pairs, "max_steps": steps + 1}
        quiet = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "use_cpu": True}
        args = DPOConfig(
            out, loss_type="ipo", beta=0.2, bf16=half, gradient_checkpointing=recomputing, **options, **quiet
        )
        models = [AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for _ in range(2)]
        tokenizer = AutoTokenizer.from_pretrained(path)
        DPOTrainer(
            *models,
            args=args,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[Ticking()],
        ).train()
    return clock.best()


def run_plain(pairs: int, steps: int, half: bool) -> Measured:
    """SSO as one would first write it: two replies a view in a padded batch, all logits, a model as reference."""
    import copy

    import polars as pl

    from factory.config import Training
    from factory.models.load import load_model, load_tokenizer
    from factory.models.ref import ModelRef
    from factory.training.data import PairReader, encode
    from factory.training.methods import method_of

    method, ref = method_of(Training()), ModelRef(MODEL)
    model = load_model(ref, "cpu", torch.float32).train()
    reference = copy.deepcopy(model).eval()
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-7)
    reader = PairReader(method.needed, load_tokenizer(ref), False, 8192)
    examples = encode(pl.DataFrame(pair_rows(pairs * (steps + 1))), reader).examples
    clock = StepClock(pairs)
    for step in range(steps + 1):
        clock.begin()
        for example in examples[step * pairs : (step + 1) * pairs]:
            policy = [plain_sums(model, item) for item in example.items]
            with torch.no_grad():
                given = [plain_sums(reference, item) for item in example.items]
            (plain_loss(method, example, torch.cat(policy), torch.cat(given)) / pairs).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        clock.end()
    return clock.best()


def plain_sums(model: Any, item: Any) -> torch.Tensor:
    """Summed log-probabilities of an item's replies, each in a padded row, from the logits of every token."""
    rows = [[*item.prompt, *reply] for reply in item.replies]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    seen = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    logps = model(input_ids=ids, attention_mask=seen, use_cache=False).logits[:, :-1].float().log_softmax(-1)
    picked = logps.gather(2, ids[:, 1:, None])[..., 0]
    counted = seen[:, 1:] * (torch.arange(1, width) >= len(item.prompt))
    return (picked * counted).sum(1)


def plain_loss(method: Any, example: Any, policy: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """The same objective as ours."""
    from factory.training.batches import scored

    terms = method.terms(scored(method.needed, policy, torch.tensor(example.counts), given))
    return terms.loss.sum()


def rounding(pairs: int) -> list[float]:
    """How far the mean log-probability per token of each reply under each view is in bfloat16 from that in float32."""
    import polars as pl

    from factory.config import Training
    from factory.models.load import load_model, load_tokenizer
    from factory.models.ref import ModelRef
    from factory.training.data import PairReader, encode
    from factory.training.methods import method_of

    ref = ModelRef(MODEL)
    reader = PairReader(method_of(Training()).needed, load_tokenizer(ref), False, 8192)
    items = [item for one in encode(pl.DataFrame(pair_rows(pairs)), reader).examples for item in one.items]
    counts = torch.tensor([len(reply) for item in items for reply in item.replies])
    means = []
    for dtype in (torch.float32, torch.bfloat16):
        model = load_model(ref, "cpu", dtype).eval()
        with torch.no_grad():
            means.append(torch.cat([plain_sums(model, item) for item in items]) / counts)
    apart: list[float] = (means[0] - means[1]).abs().tolist()
    return apart


def run_ours(pairs: int, steps: int, half: bool, **options: Any) -> Measured:
    """`factory.train` as the line calls it: the reference comes with the pairs, as `logp_*` columns."""
    import polars as pl

    from factory.config import Training
    from factory.models.ref import ModelRef
    from factory.progress import Silent
    from factory.schema import LOGPS, MESSAGES, SCORES, conform
    from factory.training import TrainingJob
    from factory.training.run import train

    clock = StepClock(pairs)

    class Ticking(Silent):
        def start(self, name: str, total: int, unit: str, done: int = 0) -> None:
            clock.begin()

        def advance(self, count: int = 1, tokens: int = 0, cost: float = 0.0) -> None:
            clock.end()

    dtype: Any = "bfloat16" if half else "float32"
    config = Training(batch_pairs=pairs, micro_batch_tokens=1, dtype=dtype, **options)
    rows = pl.DataFrame(pair_rows(pairs * (steps + 1)), schema_overrides={"prompt": MESSAGES})
    seed = even_seed(rows["pair_id"].to_list(), pairs, config.steering_share)
    table = conform(rows, SCORES).with_columns(pl.lit(-2.0).alias(name) for name in LOGPS)
    with tempfile.TemporaryDirectory() as out:
        train(TrainingJob(table, ModelRef(MODEL), Path(out), config, seed=seed, iteration=1, progress=Ticking()))
        lines = [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
    return clock.best(tokens=sum(line["tokens"] for line in lines) / sum(line["pairs"] for line in lines))


class _Drawn(NamedTuple):
    """What deciding a draw asks of a pair."""

    pair_id: str
    key: str
    plain: None = None


def even_seed(pair_ids: list[str], pairs: int, share: float) -> int:
    """The first seed by which each step draws the steered views of just the share of its pairs."""
    from factory.training.batches import steps, thinned

    made = [_Drawn(one, one) for one in pair_ids]
    wanted = round(share * pairs)
    for seed in range(100_000):
        drawn: Any = thinned(steps(made, seed, 1, pairs), seed, share)  # type: ignore[arg-type]
        if all(sum(one is not None for one in step) == wanted for step in drawn):
            return seed
    raise SystemExit(f"no seed draws {wanted} of {pairs} pairs in every step")


def run_scores(pairs: int, steps: int, half: bool) -> Measured:
    """The score stage of a run by default: what its loss and report read, by the policy, from a table of pairs."""
    import polars as pl

    from factory.config import Training
    from factory.config.engines import TransformersEngine
    from factory.engines import open_scorer
    from factory.models.ref import ModelRef
    from factory.schema import MESSAGES, PAIRS, conform
    from factory.stages.score import read_by, score

    wanted = read_by(Training(), ())
    rows = pl.DataFrame(pair_rows(pairs * (steps + 1)), schema_overrides={"prompt": MESSAGES})
    table = conform(rows, PAIRS).with_columns(pl.lit("stop").alias(f"finish_{reply}") for reply in REPLIES)
    clock = StepClock(pairs)
    with open_scorer(TransformersEngine(), ModelRef(MODEL)) as scorer:
        for step in range(steps + 1):
            clock.begin()
            score(table[step * pairs : (step + 1) * pairs], scorer, wanted)
            clock.end()
    return clock.best(measured=len(wanted))


RUNS: dict[str, Callable[[int, int, bool], Measured]] = {
    "trl": run_trl,
    "trl_recomputing": partial(run_trl, recomputing=True),
    "plain": run_plain,
    "ours": run_ours,
    "ours_keeping": partial(run_ours, gradient_checkpointing=False),
    "ours_selective": partial(run_ours, gradient_checkpointing="selective"),
    "ours_quarter": partial(run_ours, steering_share=0.25),
    "scores": run_scores,
}
