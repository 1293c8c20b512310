"""Time and memory of SSO training per pair, against TRL's DPOTrainer and against SSO written plainly.

    python benchmarks/training.py [--pairs 2] [--steps 2] [--repeats 2] [--out docs/benchmark-training.md]

Every measurement is a process of its own, so that its peak memory is its own; the variants take turns, and the best of
the repeats counts. All take one pair per forward pass, in float32 on the CPU unless said otherwise, with AdamW.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)  # This file bears the name of a package it measures.

from benchmarks.training_pairs import MODEL, pair_rows  # noqa: E402

VARIANTS = {
    "trl": "(a) TRL DPOTrainer, IPO, online reference",
    "plain": "(b) SSO, separate sequences, online reference",
    "ours": "(c) SSO, this package",
    "ours_bfloat16": "(c) in bfloat16 autocast",
    "trl_bfloat16": "(a) in bfloat16 autocast",
}


class Measured(NamedTuple):
    """What one process found."""

    seconds: float
    """Wall time per pair, best step."""
    cpu_seconds: float
    """Processor time per pair in that step, over all cores: what a busy machine disturbs least."""
    peak_gb: float
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
        wall, cpu = min(self.steps[1:])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return Measured(wall, cpu, peak, extra)


def run_ours(pairs: int, steps: int, half: bool) -> Measured:
    """`factory.train` as the line calls it: the reference comes with the pairs, as `logp_*` columns."""
    import polars as pl

    from factory.config import Training
    from factory.engines.base import ModelRef
    from factory.progress import Silent
    from factory.schema import LOGPS, MESSAGES, SCORES, conform
    from factory.training.run import train

    clock = StepClock(pairs)

    class Ticking(Silent):
        def start(self, name: str, total: int, unit: str) -> None:
            clock.begin()

        def advance(self, count: int = 1, tokens: int = 0, cost: float = 0.0) -> None:
            clock.end()

    config = Training(batch_pairs=pairs, micro_batch_tokens=1, dtype="bfloat16" if half else "float32")
    rows = pl.DataFrame(pair_rows(pairs * (steps + 1)), schema_overrides={"prompt": MESSAGES})
    table = conform(rows, SCORES).with_columns(pl.lit(-2.0).alias(name) for name in LOGPS)
    with tempfile.TemporaryDirectory() as out:
        train(table, ModelRef(MODEL), Path(out), config, seed=0, iteration=1, progress=Ticking())
        lines = [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
    return clock.best(tokens=sum(line["tokens"] for line in lines) / sum(line["pairs"] for line in lines))


def run_trl(pairs: int, steps: int, half: bool) -> Measured:
    """TRL's DPOTrainer on the plain prompt, chosen and rejected of the same pairs."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    from factory.models.load import resolve

    clock = StepClock(pairs)

    class Ticking(TrainerCallback):  # type: ignore[misc]
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
        args = DPOConfig(out, loss_type="ipo", beta=0.2, bf16=half, gradient_checkpointing=False, **options, **quiet)
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
    from factory.engines.base import ModelRef
    from factory.models.load import load_model, load_tokenizer
    from factory.training.data import Reader, encode
    from factory.training.methods import method_of

    method, ref = method_of(Training()), ModelRef(MODEL)
    model = load_model(ref, "cpu", torch.float32).train()
    reference = copy.deepcopy(model).eval()
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-7)
    reader = Reader(method.needed, load_tokenizer(ref), False, 8192)
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


RUNS = {"trl": run_trl, "plain": run_plain, "ours": run_ours}


def measure(variant: str, pairs: int, steps: int) -> Measured:
    """One process."""
    command = [sys.executable, "-W", "ignore", __file__, "--variant", variant]
    command += ["--pairs", str(pairs), "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def best_of(found: list[Measured]) -> Measured:
    """The fastest repeat; memory is the smallest seen, since a process cannot use less than it needs."""
    return min(found)._replace(peak_gb=min(one.peak_gb for one in found))


class Floor(NamedTuple):
    """What a pair costs at the least: its floating-point operations at the machine's own matrix speed."""

    gflops_per_second: float
    gflop: float
    seconds: float


def floor() -> Floor:
    """Six operations a weight and token (forward, and twice that backward), the output layer for reply tokens alone.

    Attention is counted causal, and each prompt once for every reply, as it is computed.
    """
    import polars as pl

    from factory.config import Training
    from factory.engines.base import ModelRef
    from factory.models.load import load_model, load_tokenizer
    from factory.training.data import Reader, encode
    from factory.training.methods import method_of

    model = load_model(ModelRef(MODEL), "cpu", torch.float32)
    config, reader = model.config, Reader(method_of(Training()).needed, load_tokenizer(ModelRef(MODEL)), False, 8192)
    examples = encode(pl.DataFrame(pair_rows(8)), reader).examples
    layers = sum(m.weight.numel() for m in model.model.modules() if isinstance(m, torch.nn.Linear))
    output = config.vocab_size * config.hidden_size
    size = config.num_attention_heads * model.model.layers[0].self_attn.head_dim
    total = 0.0
    for example in examples:
        squares = sum((len(item.prompt) + len(reply)) ** 2 for item in example.items for reply in item.replies)
        attention = 4 * size * config.num_hidden_layers * squares / 2
        total += 3 * (2 * layers * example.tokens("flat") + 2 * output * sum(example.counts) + attention)
    rate = matmul_rate(1500, config.hidden_size, config.intermediate_size)
    return Floor(rate, total / len(examples) / 1e9, total / len(examples) / 1e9 / rate)


def matmul_rate(rows: int, inner: int, columns: int) -> float:
    """Best float32 rate, in GFLOP/s, of a product of the size that the model's layers have."""
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    best = 0.0
    for _ in range(60):
        began = time.perf_counter()
        left @ right
        best = max(best, 2 * rows * inner * columns / (time.perf_counter() - began) / 1e9)
    return best


def machine() -> str:
    """Processor, cores, versions and how busy it is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    load = os.getloadavg()[0]
    return f"{name}, {os.cpu_count()} cores (load {load:.1f}), torch {torch.__version__}, {date.today().isoformat()}"


def table(found: dict[str, Measured], least: Floor) -> str:
    """The results as Markdown."""
    lines = ["| variant | s per pair | CPU s per pair | peak GB |", "|---|---|---|---|"]
    lines += [
        f"| {VARIANTS[name]} | {one.seconds:.2f} | {one.cpu_seconds:.2f} | {one.peak_gb:.2f} |"
        for name, one in found.items()
    ]
    lines += ["", "| ratio | time | CPU time | memory |", "|---|---|---|---|"]
    for one, other in (
        ("ours", "trl"),
        ("ours", "plain"),
        ("ours_bfloat16", "trl_bfloat16"),
        ("ours_bfloat16", "ours"),
    ):
        if one in found and other in found:
            a, b = found[one], found[other]
            ratios = (a.seconds / b.seconds, a.cpu_seconds / b.cpu_seconds, a.peak_gb / b.peak_gb)
            lines.append(f"| {VARIANTS[one]} / {VARIANTS[other]} | " + " | ".join(f"{r:.2f}" for r in ratios) + " |")
    share = f", {least.seconds / found['ours'].seconds:.0%} of which (c) reaches" if "ours" in found else ""
    lines += ["", f"Floor of (c): {least.gflop:.0f} GFLOP a pair at {least.gflops_per_second:.0f} GFLOP/s, "
              f"{least.seconds:.2f} s{share}."]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for and print the table; with --variant, be one of the processes measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2, help="pairs per optimiser step")
    parser.add_argument("--steps", type=int, default=2, help="steps that are timed, after one that is not")
    parser.add_argument("--repeats", type=int, default=2, help="processes per variant")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--out", type=Path, help="also write the table to this Markdown file")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.variant:
        run = RUNS[asked.variant.removesuffix("_bfloat16")]
        print(json.dumps(run(asked.pairs, asked.steps, asked.variant.endswith("_bfloat16"))._asdict()))
        return
    tries: dict[str, list[Measured]] = {name: [] for name in asked.only}
    for _ in range(asked.repeats):
        for name in asked.only:
            tries[name].append(measure(name, asked.pairs, asked.steps))
            print(f"{VARIANTS[name]}: {tries[name][-1]}", file=sys.stderr)
    text = f"{table({name: best_of(found) for name, found in tries.items()}, floor())}\n\n{machine()}"
    print(text)
    if asked.out:
        command = "python benchmarks/training.py " + " ".join(sys.argv[1:])
        asked.out.write_text(f"# Training: time and memory per pair\n\n`{command}`\n\n{text}\n", "utf-8")


if __name__ == "__main__":
    main()
