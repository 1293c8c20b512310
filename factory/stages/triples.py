"""Triples: the policy replies to x, x+ and x-, and the three replies become a pair with its original."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import polars as pl

from factory.config import Sampling
from factory.engines.base import Completion, Generator, Request
from factory.identity import draw, pair_id
from factory.schema import CONTRAST, PAIRS, REJECTED, REPLIES, Split, conform
from filters.text import normalised
from principles import TOGETHER
from principles.leaks import find_leak, strip_label
from principles.views import views

VIEW_OF = {"chosen": "good", "rejected": "bad", "original": "plain"}
"""The view each reply is sampled under."""

_SILENT = "the engine gave no answer"


def triples(
    prompts: pl.DataFrame,
    contrast: pl.DataFrame,
    engine: Generator,
    sampling: Sampling,
    seed: int,
    iteration: int,
    method: str,
    policy: str,
) -> Split:
    """PAIRS rows, `samples_per_view` for each prompt of `contrast`, in the order of prompt_id and sample.

    All replies are asked for in one call. The k-th chosen, rejected and original reply
    of a prompt make its k-th pair. A label that a reply begins with is taken off the text that is kept; its token
    count is null then, since the tokens of the rest were not counted. A triple goes to rejected as `failed` (a
    request failed), `empty_chosen`, `empty_rejected`, `empty_original`, `equal_replies` (two of them are the same
    but for spacing), `leak` (chosen or rejected calls itself what it was told to be) or `same_pair` (an earlier
    sample of the prompt gave this very pair).
    """
    asked = conform(contrast, CONTRAST).join(own_columns(prompts), on="prompt_id", how="inner").sort("prompt_id")
    replies = _replies(asked.to_dicts(), engine, sampling, seed, iteration)
    origin = {"method": pl.lit(method), "policy": pl.lit(policy), "iteration": pl.lit(iteration, pl.Int64)}
    table = asked.drop("adjective_good", "adjective_bad").join(replies, on="prompt_id", how="inner")
    return _split(table.sort("prompt_id", "k").with_columns(**origin, **_reasons()))


def _replies(
    rows: Sequence[Mapping[str, Any]], engine: Generator, sampling: Sampling, seed: int, iteration: int
) -> pl.DataFrame:
    samples = range(sampling.samples_per_view)
    requests = [each for row in rows for k in samples for each in _requests(row, k, sampling, seed, iteration)]
    answers = {answer.id: answer for answer in engine.generate(requests)}
    return pl.DataFrame([_record(row, k, answers) for row in rows for k in samples], schema=_RECORD)


def own_columns(prompts: pl.DataFrame) -> pl.DataFrame:
    """The prompts table without the columns that pairs fill otherwise; those of the user's stay."""
    taken = {*PAIRS.columns, *CONTRAST.columns, *REJECTED.columns, *_RECORD, "portion"} - {
        "prompt_id",
        "prompt",
        "source",
    }
    return prompts.drop(name for name in prompts.columns if name in taken)


def _requests(row: Mapping[str, Any], k: int, sampling: Sampling, seed: int, iteration: int) -> list[Request]:
    prompt_id = row["prompt_id"]
    messages = views(row["prompt"], row["system_good"], row["system_bad"])._asdict()
    return [
        Request(
            id=f"reply/{prompt_id}/{view}/{k}",
            messages=messages[view],
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=draw(seed, "reply", prompt_id, view, k, iteration),
            tags={"stage": "reply", "prompt_id": prompt_id, "view": view, "k": str(k)},
        )
        for view in ("plain", "good", "bad")
    ]


_RECORD: dict[str, pl.DataType] = {
    "prompt_id": pl.String(),
    "k": pl.Int64(),
    "pair_id": pl.String(),
    **{reply: pl.String() for reply in REPLIES},
    **{f"finish_{reply}": pl.String() for reply in REPLIES},
    **{f"tokens_{reply}": pl.Int64() for reply in REPLIES},
    "failure": pl.String(),
    "leak": pl.String(),
}


def _record(row: Mapping[str, Any], k: int, answers: Mapping[str, Completion]) -> dict[str, Any]:
    """The k-th triple of a prompt: its replies without labels, and the first failure and leak found in it."""
    both = (row["adjective_good"], row["adjective_bad"])
    adjectives = [word for side in both if side for word in side.split(TOGETHER)]
    record: dict[str, Any] = {"prompt_id": row["prompt_id"], "k": k, "failure": None, "leak": None}
    for reply, view in VIEW_OF.items():
        request_id = f"reply/{row['prompt_id']}/{view}/{k}"
        answer = answers.get(request_id) or Completion(request_id, None, error=_SILENT)
        text = None if answer.text is None or answer.error else strip_label(answer.text, adjectives)
        record |= {reply: text, f"finish_{reply}": answer.finish}
        record[f"tokens_{reply}"] = answer.completion_tokens if text == answer.text else None
        if text is None:
            record["failure"] = record["failure"] or f"{reply}: {answer.error or _SILENT}"
        elif reply != "original" and (words := find_leak(text, adjectives)):
            record["leak"] = record["leak"] or f"{reply}: {words}"
    known = record["chosen"] is not None and record["rejected"] is not None
    record["pair_id"] = pair_id(row["prompt"], record["chosen"], record["rejected"]) if known else None
    return record


def _reasons() -> dict[str, pl.Expr]:
    """Why a triple is no pair, and what exactly; both null for a pair."""
    plain = {reply: normalised(pl.col(reply)) for reply in REPLIES}
    chain: list[tuple[pl.Expr, str, pl.Expr]] = [(pl.col("failure").is_not_null(), "failed", pl.col("failure"))]
    chain += [(plain[reply] == "", f"empty_{reply}", pl.lit(None, pl.String)) for reply in REPLIES]
    chain += [
        (plain[one] == plain[other], "equal_replies", pl.lit(f"{one}, {other}"))
        for one, other in combinations(REPLIES, 2)
    ]
    chain.append((pl.col("leak").is_not_null(), "leak", pl.col("leak")))
    return {
        "filter": pl.lit("triples"),
        "reason": pl.coalesce(pl.when(wrong).then(pl.lit(reason)) for wrong, reason, _ in chain),
        "detail": pl.coalesce(pl.when(wrong).then(detail.fill_null("")) for wrong, _, detail in chain),
    }


def _split(table: pl.DataFrame) -> Split:
    good = table.filter(pl.col("reason").is_null())
    again = good.filter(~pl.col("pair_id").is_first_distinct()).with_columns(reason=pl.lit("same_pair"))
    kept = good.filter(pl.col("pair_id").is_first_distinct()).drop(*REJECTED.columns)
    dropped = pl.concat([table.filter(pl.col("reason").is_not_null()), again]).sort("prompt_id", "k")
    dropped = dropped.with_columns(pl.col("detail").replace("", None))
    inner = ("k", "failure", "leak")
    return Split(conform(kept.drop(inner), PAIRS), conform(conform(dropped.drop(inner), PAIRS), REJECTED))
