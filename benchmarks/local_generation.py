"""The local decoder against transformers' continuous batching and its plain generate: the same prompts, greedily.

    python -m benchmarks.local_generation [--model bundled:smollm2-135m-instruct] [--count 8] [--max-new-tokens 48]

Each way runs in a process of its own, so that its memory is its own. Of each the table has tokens per second of the
processor, the loading of the model left out; the memory it took beyond the loaded model; and how many replies to the
first prompts are the same tokens when these are asked alone as when all are asked at once.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WAYS = ("ours", "continuous batching", "generate")
ALONE = 3
"""Prompts that are asked alone too."""
PAGE = 32
"""Tokens in a page of the paged cache."""
Ids = list[int]
Answer = Callable[[list[Ids], int], list[Ids]]


def ours(model: Any, ends: frozenset[int]) -> Answer:
    """The decoder that the transformers engine runs on."""
    from factory.engines.decoding import Decoder, DecodingRow

    def answer(prompts: list[Ids], most: int) -> list[Ids]:
        rows = [DecodingRow(ids, most, 0.0, 1.0, 0, None) for ids in prompts]
        for _ in Decoder(model, ends, min(ends), 2**16).run(rows):
            pass
        assert not any(row.error for row in rows), rows[0].error
        return [row.new for row in rows]

    return answer


def continuous_batching(model: Any, ends: frozenset[int]) -> Answer:
    """`generate_batch` with its paged cache."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    def answer(prompts: list[Ids], most: int) -> list[Ids]:
        settings = GenerationConfig(
            do_sample=False, max_new_tokens=most, eos_token_id=sorted(ends), pad_token_id=min(ends)
        )
        # Left to itself it takes nine tenths of the machine's free memory for its pages.
        blocks = sum(-(-(len(ids) + most) // PAGE) for ids in prompts)
        pages = ContinuousBatchingConfig(page_size=PAGE, num_blocks=blocks, max_batch_tokens=512)
        made = model.generate_batch(prompts, settings, pages)
        return [one.generated_tokens for one in made.values()]

    return answer


def generate(model: Any, ends: frozenset[int]) -> Answer:
    """One padded batch that goes on until its last reply has ended."""
    import torch

    def answer(prompts: list[Ids], most: int) -> list[Ids]:
        pad, width = min(ends), max(map(len, prompts))
        ids = torch.tensor([[pad] * (width - len(one)) + one for one in prompts])
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts])
        settings = {"do_sample": False, "max_new_tokens": most, "eos_token_id": sorted(ends), "pad_token_id": pad}
        made = model.generate(ids, attention_mask=mask, **settings)[:, width:].tolist()
        return [_ended(one, ends) for one in made]

    return answer


def _ended(ids: Ids, ends: frozenset[int]) -> Ids:
    last = next((place for place, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: last + 1]


def measure(way: str, name: str, count: int, most: int) -> dict[str, float]:
    """Tokens per second, MiB beyond the loaded model, and the replies that are the same alone."""
    import torch

    from factory.engines.render import Renderer
    from factory.models.chat import end_ids
    from factory.models.load import load_model
    from factory.models.ref import ModelRef

    ref = ModelRef(name)
    renderer, model = Renderer(ref), load_model(ref, "cpu", torch.float32)
    ends = end_ids(renderer.tokenizer, model)
    texts = [f"{'Think about it. ' * (place % 4 * 5)}What of the number {place}?" for place in range(count)]
    prompts = [
        renderer.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
        )
        for text in texts
    ]
    answer = {"ours": ours, "continuous batching": continuous_batching, "generate": generate}[way](model, ends)
    answer(prompts[:1], 2)
    before, began = _peak(), time.process_time()
    together = answer(prompts, most)
    seconds = time.process_time() - began
    memory = _peak() - before
    alone = [answer([ids], most)[0] for ids in prompts[:ALONE]]
    same = sum(one == other for one, other in zip(alone, together, strict=False))
    tokens = sum(map(len, together))
    return {"tokens": tokens, "rate": tokens / seconds, "memory": memory, "same": same}


def _peak() -> float:
    """MiB this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure every way in a process of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled:smollm2-135m-instruct")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.model, options.count, options.max_new_tokens)))
        return
    print("| way | tokens | tokens per CPU second | MiB beyond the model | same alone |\n|---|---|---|---|---|")
    for way in WAYS:
        words = [sys.executable, "-m", "benchmarks.local_generation", *sys.argv[1:], "--way", way]
        done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
        try:
            found = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            print(f"| {way} | failed: {done.stderr.strip().splitlines()[-1:]} | | | |", flush=True)
            continue
        row = "| {way} | {tokens:,} | {rate:.1f} | {memory:.0f} | {same} of {alone} |"
        print(row.format(way=way, alone=min(ALONE, options.count), **found), flush=True)


if __name__ == "__main__":
    main()
