"""Whether generation, scoring and training run on a device at all, in seconds, and the whole error where one does not.

    python benchmarks/smoke.py [--device cuda]

The model is random, of two layers, in the shape of the bundled model's attention (heads of 64, three to a key head):
which of a GPU's kernels is taken hangs on the shape and the type.
"""

import argparse
import math
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

sys.path[0] = str(Path(__file__).parent.parent)

SHAPE = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3,
         "head_dim": 64, "initializer_range": 0.02}  # fmt: skip
TURNS = [[{"role": "user", "content": "moon " * number}] for number in (40, 1, 8, 15)]


def generation(model: str, device: str, dtype: str) -> str:
    """Replies to four prompts and two scores; RuntimeError with the first failure's words."""
    from factory.config.engines import TransformersEngine
    from factory.engines.base import Reply, Request, ScoreRequest
    from factory.engines.transformers import TransformersModel
    from factory.models.ref import ModelRef

    engine = TransformersModel(TransformersEngine.model_validate({"device": device, "dtype": dtype}), ModelRef(model))
    requests = [Request(str(n), turns, 8, temperature=0.7, top_p=0.8, seed=n) for n, turns in enumerate(TURNS)]
    answers = list(engine.generate(requests))
    scores = list(engine.score([ScoreRequest("s", TURNS[0], (Reply("the sea", True), Reply("a moon", True)))]))
    failed = [one.error for one in (*answers, *scores) if one.error]
    if failed:
        raise RuntimeError(failed[0])
    if not all(score is not None and math.isfinite(score) for score in scores[0].logps):
        raise RuntimeError(f"log-probabilities are {scores[0].logps}")
    return f"{sum(answer.completion_tokens or 0 for answer in answers)} tokens, {scores[0].logps[0]:.3f} a scored token"


def training(model: str, out: Path, dtype: str) -> str:
    """One step on two pairs; OUT/policy is what it leaves."""
    import polars as pl

    from benchmarks.gpu import rows
    from factory.config import Training
    from factory.models.ref import ModelRef
    from factory.schema import MESSAGES, SCORES, conform
    from factory.training import TrainingJob
    from factory.training.run import train

    pairs = conform(pl.DataFrame(rows(2, 10), schema_overrides={"prompt": MESSAGES}), SCORES)
    config = Training.model_validate({"batch_pairs": 2, "dtype": dtype})
    train(TrainingJob(pairs, ModelRef(model), out, config, seed=0, iteration=1))
    return "1 step"


def said(what: str, check: Callable[[], str]) -> bool:
    """Run a check and print a line; its error as a whole where it fails."""
    began = time.perf_counter()
    try:
        found = check()
    except (Exception, SystemExit):  # noqa: BLE001 - whatever it is, it is printed as a whole and the next one tried
        traceback.print_exc()
        print(f"smoke: {what} FAILED after {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
        return False
    print(f"smoke: {what} {time.perf_counter() - began:.1f} s, {found}", file=sys.stderr, flush=True)
    return True


def machine() -> str:
    """Versions, and the GPU with its free memory."""
    text = f"torch {torch.__version__}, transformers {transformers.__version__}, Python {sys.version.split()[0]}"
    if not torch.cuda.is_available():
        return f"{text}, no CUDA device"
    free, total = torch.cuda.mem_get_info()
    return f"{text}, {torch.cuda.get_device_name()}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"


def main() -> None:
    """All checks, whichever of them fail; exit 1 when one did."""
    from tests.tiny import tiny_model_folder

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    print(f"smoke: {machine()}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        model, policy = str(tiny_model_folder(Path(folder) / "model", **SHAPE)), Path(folder) / "trained"
        worked = [
            said(f"{dtype} generation", lambda d=dtype: generation(model, asked.device, d))
            for dtype in ("float32", "bfloat16")
        ]
        worked.append(said("float32 training", lambda: training(model, policy, "float32")))
        worked.append(said("the trained policy", lambda: generation(str(policy / "policy"), asked.device, "float32")))
    if not all(worked):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
