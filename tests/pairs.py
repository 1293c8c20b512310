"""Pair tables for tests: as many prompts as asked for, of every shape an export has to face."""

from typing import Any

import polars as pl

from factory.identity import pair_id, prompt_id
from factory.schema import MESSAGES, PAIRS, conform

SYSTEM = {"role": "system", "content": "Answer in rhyme."}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def pair(prompt: list[dict[str, str]], chosen: str, rejected: str, **columns: Any) -> dict[str, Any]:
    ids = {"pair_id": pair_id(prompt, chosen, rejected), "prompt_id": prompt_id(prompt)}
    return {**ids, "prompt": prompt, "chosen": chosen, "rejected": rejected, **columns}


def table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return conform(pl.DataFrame(rows, schema_overrides={"prompt": MESSAGES}, infer_schema_length=None), PAIRS)


def prompt_of(number: int) -> list[dict[str, str]]:
    """Prompt `number`: every third has a system message, every fourth three turns."""
    turns = [user(f"question {number}")]
    if number % 4 == 0:
        turns += [assistant(f"answer {number}"), user(f"and then {number}?")]
    return [SYSTEM, *turns] if number % 3 == 0 else turns


def pairs(prompts: int, per_prompt: int = 2, **columns: Any) -> pl.DataFrame:
    """`per_prompt` pairs, of iterations 1, 2, …, for each of `prompts` prompts."""
    made = {"source": "test", "feature": "Accuracy", "feature_source": "allocated", "method": "sso", "policy": "tiny"}
    extra = {"original": "plain", "system_good": "be good", "system_bad": "be bad", **made, **columns}
    rows = [
        pair(prompt_of(n), f"good {n} {i}", f"bad {n} {i}", iteration=i + 1, **extra)
        for n in range(prompts)
        for i in range(per_prompt)
    ]
    return table(rows)
