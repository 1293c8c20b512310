"""What benchmarks/mechanism.py measures of a policy: fixed triples teacher-forced, and what it writes by itself."""

from typing import Any

import polars as pl
import torch

from benchmarks.mechanism_pool import ORACLES, answered, asked
from factory.config.engines import TransformersEngine
from factory.models.layout import buckets, layout
from factory.models.load import load_model, load_tokenizer
from factory.models.ref import ModelRef
from factory.models.sequences import plan_for, reply_logps
from factory.schema import logp_column
from factory.training.conditionals import Conditional
from factory.training.data import PairReader, encode

MEASURED = tuple(
    Conditional(reply, view)
    for view, replies in (
        ("plain", ("chosen", "rejected")),
        ("good", ("chosen", "rejected")),
        ("bad", ("chosen", "rejected", "original")),
    )
    for reply in replies
)
"""What eq. 1 reads in any of its forms."""


def teacher_forced(pairs: pl.DataFrame, policy: ModelRef, device: str, max_tokens: int = 4096) -> pl.DataFrame:
    """pair_id and pi~ of the replies of `pairs` under their views, in the schema's columns; nothing is sampled."""
    model, tokenizer = load_model(policy, device, torch.float32), load_tokenizer(policy)
    plan = plan_for(model)
    found = encode(pairs, PairReader(MEASURED, tokenizer, False, 10**9)).examples
    rows: list[dict[str, Any]] = []
    for group in buckets([one.tokens(plan.layout) for one in found], max_tokens):
        batch = layout([item for place in group for item in found[place].items], plan.layout).to(device)
        with torch.no_grad():
            sums = reply_logps(model, batch, plan).sums
        values = (sums.double() / batch.counts).view(len(group), -1).tolist()
        names = [logp_column(*one) for one in MEASURED]
        rows += [
            {"pair_id": found[place].pair_id, **dict(zip(names, line, strict=True))}
            for place, line in zip(group, values, strict=True)
        ]
    return pl.DataFrame(rows)


def lengths(policy: ModelRef, engine: TransformersEngine, prompts: int, tokens: int) -> dict[str, Any]:
    """Tokens of the policy's own replies to held-out prompts, and how many were cut at `tokens`."""
    requests = [one.request("plain", tokens, 2) for one in asked(True, prompts, 2)]
    answers = [answer for _, answer in sorted(answered(policy, engine, requests).items())]
    return {
        "tokens": [answer.completion_tokens for answer in answers],
        "cut": sum(answer.finish == "length" for answer in answers),
    }


def behaviour(policy: ModelRef, engine: TransformersEngine, prompts: int, replies: int, tokens: int) -> dict[str, Any]:
    """How far replies under the good principle have more of the feature than those under the bad one.

    `difference` has a line per prompt, in order: the mean over `replies` pairs of the oracle's difference. The sampling
    seeds hang on the prompt, view and number of the reply, so that they are the same for every policy.
    """
    wanted = [one._replace(sample=k) for one in asked(True, prompts, 3) for k in range(replies)]
    requests = [one.request(view, tokens, 3) for one in wanted for view in ("good", "bad")]
    texts = {name: answer.text or "" for name, answer in answered(policy, engine, requests).items()}
    found = []
    for one in wanted:
        good, bad = (ORACLES[one.feature](texts[one.request(view, 1, 0).id]) for view in ("good", "bad"))
        found.append(good - bad)
    groups = [found[start : start + replies] for start in range(0, len(found), replies)]
    return {
        "replies": replies,
        "features": [one.feature for one in wanted[::replies]],
        "difference": [round(sum(group) / replies, 4) for group in groups],
        "signs": [[sum(value > 0 for value in group), sum(value < 0 for value in group)] for group in groups],
    }


def written(pairs: pl.DataFrame) -> dict[str, Any]:
    """What a later iteration's own pairs are like: the oracles' verdicts, lengths, and e^{pi~} under x."""
    differences = [
        ORACLES[feature](chosen) - ORACLES[feature](rejected)
        for feature, chosen, rejected in pairs.select("feature", "chosen", "rejected").iter_rows()
    ]
    right, wrong = sum(value > 0 for value in differences), sum(value < 0 for value in differences)
    return {
        "pairs": len(pairs),
        "verdicts": {"right": right, "even": len(pairs) - right - wrong, "wrong": wrong},
        "tokens": {reply: pairs[f"tokens_{reply}"].mean() for reply in ("chosen", "rejected", "original")},
        "on_policy": {reply: pairs[f"logp_{reply}_plain"].exp().mean() for reply in ("chosen", "rejected")},
    }
