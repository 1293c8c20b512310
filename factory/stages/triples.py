"""Triples: the policy replies to x, x+ and x-, and the three replies become a pair with its original."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import polars as pl

from factory.config import Sampling
from factory.engines.base import Completion, Generator, Request
from factory.identity import draw, pair_id
from factory.schema import CONTRAST, PAIRS, REJECTED, REPLIES, VIEWS, Split, conform
from filters.text import normalised
from principles import TOGETHER
from principles.leaks import find_leak, strip_label
from principles.views import Turns, views

VIEW_OF = {"chosen": "good", "rejected": "bad", "original": "plain"}
"""The view each reply is sampled under."""

# With underscores, as no column is read under such a name: one of the user's may be called k or leak, and stays.
K, _FAILURE, _LEAK = "__k", "__failure", "__leak"
_ADJECTIVES = {"adjective_good": "__good", "adjective_bad": "__bad"}
SILENT = "the engine gave no answer"


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
    steered = conform(contrast, CONTRAST).rename(_ADJECTIVES)
    asked = steered.join(own_columns(prompts), on="prompt_id", how="inner").sort("prompt_id")
    replies = _replies(asked.to_dicts(), engine, sampling, seed, iteration)
    origin = {"method": pl.lit(method), "policy": pl.lit(policy), "iteration": pl.lit(iteration, pl.Int64)}
    table = asked.drop(_ADJECTIVES.values()).join(replies, on="prompt_id", how="inner").sort("prompt_id", K)
    return split_pairs(table.with_columns(**origin, **_reasons()), (K, _FAILURE, _LEAK))


def _replies(
    rows: Sequence[Mapping[str, Any]], engine: Generator, sampling: Sampling, seed: int, iteration: int
) -> pl.DataFrame:
    samples = range(sampling.samples_per_view)
    requests = [each for row in rows for k in samples for each in _requests(row, k, sampling, seed, iteration)]
    answers = answered(engine, requests)
    return pl.DataFrame([_record(row, k, answers) for row in rows for k in samples], schema=_RECORD)


def answered(engine: Generator, requests: Sequence[Request]) -> dict[str, Completion]:
    """The answer to each request, by its id; one that did not come has failed."""
    found = {answer.id: answer for answer in engine.generate(requests)}
    # Looked up by id, as engines answer in any order.
    return {one.id: found.get(one.id) or Completion(one.id, None, error=SILENT) for one in requests}


def own_columns(prompts: pl.DataFrame) -> pl.DataFrame:
    """The prompts table without the columns that pairs fill otherwise; those of the user's stay."""
    taken = {*PAIRS.columns, *REJECTED.columns, "portion"}
    return prompts.drop(taken - {"prompt_id", "prompt", "source"}, strict=False)


def _requests(row: Mapping[str, Any], k: int, sampling: Sampling, seed: int, iteration: int) -> list[Request]:
    messages = views(row["prompt"], row["system_good"], row["system_bad"])._asdict()
    return [
        reply_request(row["prompt_id"], messages[view], sampling, seed, iteration, role=view, view=view, k=k)
        for view in VIEWS
    ]


def reply_request(
    prompt_id: str, messages: Turns, sampling: Sampling, seed: int, iteration: int, *, role: str, view: str, k: int
) -> Request:
    """The request for the `k`-th reply of a `role` to a prompt, whose `messages` are those of a view."""
    return Request(
        id=_reply_id(prompt_id, role, k),
        messages=messages,
        max_new_tokens=sampling.max_new_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=draw(seed, "reply", prompt_id, role, k, iteration),
        tags={"stage": "reply", "prompt_id": prompt_id, "view": view, "k": str(k)},
    )


def _reply_id(prompt_id: str, role: str, k: int) -> str:
    return f"reply/{prompt_id}/{role}/{k}"


_RECORD: dict[str, pl.DataType] = {
    "prompt_id": pl.String(),
    K: pl.Int64(),
    "pair_id": pl.String(),
    **{reply: pl.String() for reply in REPLIES},
    **{f"finish_{reply}": pl.String() for reply in REPLIES},
    **{f"tokens_{reply}": pl.Int64() for reply in REPLIES},
    _FAILURE: pl.String(),
    _LEAK: pl.String(),
}


def _record(row: Mapping[str, Any], k: int, answers: Mapping[str, Completion]) -> dict[str, Any]:
    """The k-th triple of a prompt: its replies without labels, and the first failure and leak found in it."""
    adjectives = [word for side in _ADJECTIVES.values() if row[side] for word in row[side].split(TOGETHER)]
    record: dict[str, Any] = {"prompt_id": row["prompt_id"], K: k, _FAILURE: None, _LEAK: None}
    for reply, view in VIEW_OF.items():
        answer = answers[_reply_id(row["prompt_id"], view, k)]
        text = None if answer.text is None or answer.error else strip_label(answer.text, adjectives)
        record |= {reply: text, f"finish_{reply}": answer.finish}
        record[f"tokens_{reply}"] = answer.completion_tokens if text == answer.text else None
        if text is None:
            record[_FAILURE] = record[_FAILURE] or f"{reply}: {answer.error or SILENT}"
        elif reply != "original" and (words := find_leak(text, adjectives)):
            record[_LEAK] = record[_LEAK] or f"{reply}: {words}"
    known = record["chosen"] is not None and record["rejected"] is not None
    record["pair_id"] = pair_id(row["prompt"], record["chosen"], record["rejected"]) if known else None
    return record


def _reasons() -> dict[str, pl.Expr]:
    """Why a triple is no pair, and what exactly; both null for a pair."""
    plain = {reply: normalised(pl.col(reply)) for reply in REPLIES}
    chain: list[tuple[pl.Expr, str, pl.Expr]] = [(pl.col(_FAILURE).is_not_null(), "failed", pl.col(_FAILURE))]
    chain += [(plain[reply] == "", f"empty_{reply}", pl.lit(None, pl.String)) for reply in REPLIES]
    chain += [
        (plain[one] == plain[other], "equal_replies", pl.lit(f"{one}, {other}"))
        for one, other in combinations(REPLIES, 2)
    ]
    chain.append((pl.col(_LEAK).is_not_null(), "leak", pl.col(_LEAK)))
    return {
        "filter": pl.lit("triples"),
        # The first that holds: what failed is not called empty as well.
        "reason": pl.coalesce(pl.when(wrong).then(pl.lit(reason)) for wrong, reason, _ in chain),
        # Filled: a null would be passed over for the detail of a reason further down, which is not the one given.
        "detail": pl.coalesce(pl.when(wrong).then(detail.fill_null("")) for wrong, _, detail in chain),
    }


def split_pairs(table: pl.DataFrame, inner: Sequence[str]) -> Split:
    """PAIRS of the rows without a reason, the others rejected; `inner` are columns of neither.

    A pair that an earlier row is already goes as `same_pair`.
    """
    # Numbered among the rows of its id and reason, so that a rejected row makes no later one a repetition.
    again = pl.col("reason").is_null() & (pl.int_range(pl.len()).over("pair_id", "reason") > 0)
    reason = pl.when(again).then(pl.lit("same_pair")).otherwise("reason")
    table = table.drop(inner).with_columns(reason=reason, detail=pl.col("detail").replace("", None))
    kept, dropped = (table.filter(pl.col("reason").is_null() == good) for good in (True, False))
    return Split(conform(kept.drop(REJECTED.columns), PAIRS), conform(conform(dropped, PAIRS), REJECTED))
