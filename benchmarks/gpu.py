"""One measurement of benchmarks/gpu.sh: TRL's IPO, exact or sampled SSO, or generation, as a line of a table.

    python benchmarks/gpu.py exact --size tiny [--model FOLDER, made where it is not there]

The model is random, of Llama's shape, about 1.2B parameters, with a byte-level tokenizer made here, so that nothing is
downloaded. Prompts have about 50, 180 and 180 tokens (x, x+, x-), replies 200 and 1,000. Time is the mean over all
steps after the first, since a sampled step is shorter or longer by what it draws.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path[0] = str(Path(__file__).parent.parent)

SIZES = {
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": 49152},
    "tiny": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2},
}  # fmt: skip
WORK = {"1b": {"replies": (200, 1000), "pairs": 8, "steps": 4}, "tiny": {"replies": (20,), "pairs": 2, "steps": 2}}


def model_folder(folder: Path, size: str) -> str:
    """The random model with its tokenizer, saved where it is not yet."""
    from tests.tiny import tiny_model_folder

    return str(folder if folder.is_dir() else tiny_model_folder(folder, context=4096, **SIZES[size]))


def rows(count: int, reply: int) -> list[dict[str, Any]]:
    """Made-up pairs; the tokenizer has about one token a letter."""
    from factory.identity import pair_id, prompt_id

    def letters(length: int, seed: int) -> str:
        generator = torch.Generator().manual_seed(seed)
        return "".join(chr(97 + int(n)) for n in torch.randint(26, (length,), generator=generator))

    made = []
    for number in range(count):
        prompt = [{"role": "user", "content": letters(30, number)}]
        texts = [letters(reply, 10_000 * (k + 1) + number) for k in range(3)]
        row = dict(zip(("chosen", "rejected", "original"), texts, strict=True))
        views = {"system_good": letters(130, 7), "system_bad": letters(130, 8)}
        ids = {"pair_id": pair_id(prompt, *texts[:2]), "prompt_id": prompt_id(prompt)}
        made.append({**ids, "prompt": prompt, **row, **views})
    return made


class Clock:
    """Seconds between the end of the first step and that of the last."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self) -> None:
        """A step is over, on the device too."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def per_pair(self, pairs: int) -> float:
        """Mean over the steps after the first."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1) / pairs


def run_trl(model: str, table: list[dict[str, Any]], pairs: int, out: str) -> float:
    """TRL's DPOTrainer with IPO, as it comes."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    clock = Clock()

    class Ticking(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    sides = ("chosen", "rejected")
    made = [{s: [{"role": "assistant", "content": r[s]}] for s in sides} | {"prompt": r["prompt"]} for r in table]
    gpu = torch.cuda.is_available()
    args = DPOConfig(
        out, loss_type="ipo", beta=0.2, bf16=gpu, use_cpu=not gpu, max_length=None, report_to="none",
        save_strategy="no", disable_tqdm=True, per_device_train_batch_size=pairs, max_steps=len(table) // pairs,
    )  # fmt: skip
    models = [AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32) for _ in range(2)]
    data, tokenizer = Dataset.from_list(made), AutoTokenizer.from_pretrained(model)
    DPOTrainer(*models, args=args, train_dataset=data, processing_class=tokenizer, callbacks=[Ticking()]).train()
    return clock.per_pair(pairs)


def run_sso(model: str, table: list[dict[str, Any]], pairs: int, out: str, share: float) -> float:
    """SSO by this package, the reference in the pairs as in a run."""
    import polars as pl

    from factory.config import Training
    from factory.models.ref import ModelRef
    from factory.progress import Silent
    from factory.schema import LOGPS, MESSAGES, SCORES, conform
    from factory.training import TrainingJob
    from factory.training.run import train

    clock = Clock()

    class Ticking(Silent):
        def advance(self, count: int = 1, tokens: int = 0, cost: float = 0.0) -> None:
            clock.tick()

    frame = conform(pl.DataFrame(table, schema_overrides={"prompt": MESSAGES}), SCORES)
    scored = frame.with_columns(pl.lit(-5.0).alias(name) for name in LOGPS)
    config = Training(batch_pairs=pairs, steering_share=share)
    train(TrainingJob(scored, ModelRef(model), Path(out), config, seed=0, iteration=1, progress=Ticking()))
    return clock.per_pair(pairs)


def run_generation(model: str, count: int, length: int) -> tuple[float, float]:
    """Tokens per second of the engine, and of `model.generate` in one left-padded batch."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from factory.config.engines import TransformersEngine
    from factory.engines.base import Request
    from factory.engines.transformers import TransformersModel
    from factory.models.ref import ModelRef

    prompts = [row["prompt"] for row in rows(count, 10)]
    engine = TransformersModel(TransformersEngine(), ModelRef(model))
    asked = [Request(str(n), prompt, length, seed=n) for n, prompt in enumerate(prompts)]
    list(engine.generate(asked[:2]))
    began = time.perf_counter()
    ours = sum(answer.completion_tokens or 0 for answer in engine.generate(asked)) / (time.perf_counter() - began)
    engine.close()
    device, kind = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    bare = AutoModelForCausalLM.from_pretrained(model, dtype=kind).to(device)
    batch = tokenizer.apply_chat_template(
        prompts, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    ).to(device)
    bare.generate(**batch, max_new_tokens=2)
    began = time.perf_counter()
    made = bare.generate(**batch, max_new_tokens=length, do_sample=True, temperature=0.7, top_p=0.8)
    new = made[:, batch["input_ids"].shape[1] :]
    theirs = int((new != tokenizer.pad_token_id).sum()) / (time.perf_counter() - began)
    return ours, theirs


def main() -> None:
    """Measure one thing and print its lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["trl", "exact", "sampled", "generation"])
    parser.add_argument("--size", choices=SIZES, default="1b")
    parser.add_argument("--model", type=Path)
    asked = parser.parse_args()
    work: dict[str, Any] = WORK[asked.size]
    with tempfile.TemporaryDirectory() as folder:
        model = model_folder(asked.model or Path(folder) / "model", asked.size)
        if asked.what == "generation":
            ours, theirs = run_generation(model, 64 if asked.size == "1b" else 4, 256 if asked.size == "1b" else 16)
            print(f"| generation | engine {ours:.0f} tokens/s | model.generate {theirs:.0f} tokens/s |")
            return
        for reply in work["replies"]:
            table, pairs = rows(work["pairs"] * (work["steps"] + 1), reply), work["pairs"]
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            if asked.what == "trl":
                seconds = run_trl(model, table, pairs, folder)
            else:
                seconds = run_sso(model, table, pairs, f"{folder}/{reply}", 0.25 if asked.what == "sampled" else 1.0)
            peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else float("nan")
            print(f"| {asked.what}, replies of {reply} tokens | {seconds * 1000:.1f} ms a pair | {peak:.1f} GiB |")


if __name__ == "__main__":
    main()
