"""The training benchmark's floor, and its results as Markdown."""

import os
import platform
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.training_pairs import MODEL, pair_rows
from benchmarks.training_variants import VARIANTS, Measured


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
    from factory.models.load import load_model, load_tokenizer
    from factory.models.ref import ModelRef
    from factory.training.data import PairReader, encode
    from factory.training.methods import method_of

    model = load_model(ModelRef(MODEL), "cpu", torch.float32)
    config, reader = (
        model.config,
        PairReader(method_of(Training()).needed, load_tokenizer(ModelRef(MODEL)), False, 8192),
    )
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
    lines = ["| variant | s per pair | CPU s per pair | peak GiB |", "|---|---|---|---|"]
    lines += [
        f"| {VARIANTS[name]} | {one.seconds:.2f} | {one.cpu_seconds:.2f} | {one.peak_gib:.2f} |"
        for name, one in found.items()
    ]
    lines += ["", "| ratio | time | CPU time | memory |", "|---|---|---|---|"]
    for one, other in (
        ("ours", "trl"),
        ("ours", "trl_recomputing"),
        ("ours", "plain"),
        ("ours_keeping", "trl_recomputing"),
        ("ours_keeping", "trl"),
        ("ours_selective", "trl_recomputing"),
        ("ours_quarter", "trl_recomputing"),
        ("ours_quarter", "trl"),
        ("scores", "ours"),
        ("ours_bfloat16", "trl_bfloat16"),
        ("ours_bfloat16", "ours"),
    ):
        if one in found and other in found:
            a, b = found[one], found[other]
            ratios = (a.seconds / b.seconds, a.cpu_seconds / b.cpu_seconds, a.peak_gib / b.peak_gib)
            lines.append(f"| {VARIANTS[one]} / {VARIANTS[other]} | " + " | ".join(f"{r:.2f}" for r in ratios) + " |")
    share = f", {least.seconds / found['ours'].seconds:.0%} of which (c) reaches" if "ours" in found else ""
    rate = f"{least.gflop:.0f} GFLOP a pair at the {least.gflops_per_second:.0f} GFLOP/s that a matrix product reaches"
    lines += ["", f"Floor of (c), tokens times their operations: {rate}, {least.seconds:.2f} s{share}."]
    return "\n".join(lines)
