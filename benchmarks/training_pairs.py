"""Made-up pairs of the lengths that the training benchmark asks for."""

from typing import Any

import torch

MODEL = "bundled:smollm2-135m-instruct"
REPLY_TOKENS = (150, 220)


def words(tokenizer: Any, count: int, seed: int) -> str:
    """Text of very nearly `count` tokens."""
    text = "the moon rises over a quiet town where people read history and cook dinner with friends"
    stock = text.split()
    generator = torch.Generator().manual_seed(seed)
    drawn = " ".join(stock[i] for i in torch.randint(len(stock), (2 * count,), generator=generator).tolist())
    return str(tokenizer.decode(tokenizer(drawn)["input_ids"][:count]))


def pair_rows(count: int) -> list[dict[str, Any]]:
    """Pairs whose prompts are about 50, 180 and 180 tokens and whose replies are 150 to 220."""
    from factory.identity import pair_id, prompt_id
    from factory.models.load import load_tokenizer
    from factory.models.ref import ModelRef

    tokenizer = load_tokenizer(ModelRef(MODEL))
    rows = []
    for number in range(count):
        # The chat template's own words are 25 to 30 tokens, and 10 less once there is a system message.
        prompt = [{"role": "user", "content": words(tokenizer, 20, number)}]
        low, high = REPLY_TOKENS
        lengths = torch.randint(low, high, (3,), generator=torch.Generator().manual_seed(number)).tolist()
        texts = [words(tokenizer, length, 1000 * (k + 1) + number) for k, length in enumerate(lengths)]
        row = dict(zip(("chosen", "rejected", "original"), texts, strict=True))
        views = {name: words(tokenizer, 150, seed) for name, seed in (("system_good", 7), ("system_bad", 8))}
        ids = {"pair_id": pair_id(prompt, texts[0], texts[1]), "prompt_id": prompt_id(prompt)}
        rows.append({**ids, "prompt": prompt, **row, **views})
    return rows
