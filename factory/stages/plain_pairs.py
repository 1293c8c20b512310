"""Pairs of two replies to a prompt as it is: how replies are asked for, and how two of them become a pair."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.config import Sampling
from factory.engines.base import Completion, Generator
from factory.identity import pair_id
from factory.schema import Split
from factory.stages.triples import SILENT, K, answered, own_columns, reply_request, split_pairs
from filters.text import normalised
from principles.views import view_messages


class Pairing(NamedTuple):
    """Two replies, and why they are no pair, where that is known."""

    chosen: Completion
    rejected: Completion
    reason: str | None = None
    detail: str | None = None


class Origin(NamedTuple):
    """Where pairs are from: the columns they have in common."""

    method: str
    policy: str
    iteration: int
    rejected_by: str | None = None
    """The model that wrote the rejected replies, where it is another one than the policy."""


def replies(
    prompts: pl.DataFrame,
    engine: Generator,
    sampling: Sampling,
    seed: int,
    iteration: int,
    role: str,
    count: int = 1,
) -> dict[str, list[Completion]]:
    """`count` replies to each prompt, by prompt_id; all are asked for in one call. A missing answer has failed."""
    asked = {
        prompt_id: [
            reply_request(prompt_id, view_messages(prompt), sampling, seed, iteration, role=role, view="plain", k=k)
            for k in range(count)
        ]
        for prompt_id, prompt in prompts.select("prompt_id", "prompt").rows()
    }
    answers = answered(engine, [request for each in asked.values() for request in each])
    return {prompt_id: [answers[one.id] for one in requests] for prompt_id, requests in asked.items()}


def paired(prompts: pl.DataFrame, made: Mapping[str, Sequence[Pairing]], origin: Origin) -> Split:
    """PAIRS rows, those of each prompt in order; the user's own columns of `prompts` stay.

    A pair goes to rejected as `failed`, `empty_chosen`, `empty_rejected`, `equal_replies`, `same_pair` (an earlier one
    of the prompt is this very pair) or for its own reason.
    """
    conversations = dict(prompts.select("prompt_id", "prompt").rows())
    rows = [
        _row(prompt_id, conversations[prompt_id], pairing, k)
        for prompt_id, pairings in made.items()
        for k, pairing in enumerate(pairings)
    ]
    # No column for what is not known: a null one would be written into every pair.
    columns = {name: pl.lit(value) for name, value in origin._asdict().items() if value is not None}
    table = own_columns(prompts).join(pl.DataFrame(rows, schema=_ROW), on="prompt_id", how="inner")
    table = table.sort("prompt_id", K).with_columns(**columns, filter=pl.lit("triples"), reason=_reason())
    return split_pairs(table, (K,))


_ROW: dict[str, pl.DataType] = {
    "prompt_id": pl.String(),
    K: pl.Int64(),
    "pair_id": pl.String(),
    **{f"{part}{side}": pl.String() for side in ("chosen", "rejected") for part in ("", "finish_")},
    **{f"tokens_{side}": pl.Int64() for side in ("chosen", "rejected")},
    "reason": pl.String(),
    "detail": pl.String(),
}


def _row(prompt_id: str, prompt: Any, pairing: Pairing, k: int) -> dict[str, Any]:
    row: dict[str, Any] = {"prompt_id": prompt_id, K: k, "reason": pairing.reason, "detail": pairing.detail}
    for side, reply in (("chosen", pairing.chosen), ("rejected", pairing.rejected)):
        failed = reply.text is None or reply.error is not None
        row |= {side: None if failed else reply.text, f"finish_{side}": reply.finish}
        row[f"tokens_{side}"] = reply.completion_tokens
        if failed:
            # Before any reason of the maker's, which is about replies that came.
            row |= {"reason": "failed", "detail": f"{side}: {reply.error or SILENT}"}
    known = row["chosen"] is not None and row["rejected"] is not None
    row["pair_id"] = pair_id(prompt, row["chosen"], row["rejected"]) if known else None
    return row


def _reason() -> pl.Expr:
    chosen, rejected = normalised(pl.col("chosen")), normalised(pl.col("rejected"))
    return pl.coalesce(
        "reason",
        pl.when(chosen == "").then(pl.lit("empty_chosen")),
        pl.when(rejected == "").then(pl.lit("empty_rejected")),
        pl.when(chosen == rejected).then(pl.lit("equal_replies")),
    )
