"""Scores: how likely the policy finds each reply of a pair under each view, pi~ of eq. 4."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.engines.base import Reply, Score, Scorer, ScoreRequest
from factory.schema import LOGPS, PAIRS, REPLIES, SCORES, conform, logp_column
from factory.views import views


class Asked(NamedTuple):
    """A request, and where its answer belongs."""

    request: ScoreRequest
    pair_id: str
    columns: tuple[str, ...]
    """The column of each reply of the request, in its order."""


def score(pairs: pl.DataFrame, scorer: Scorer | None) -> pl.DataFrame:
    """`pairs` with the nine `logp_{reply}_{view}` columns, mean log-probability per token, in the order of `pairs`.

    One request per pair and view, all in one call; a pair without system messages has
    the plain view alone. What could not be measured (no such reply or view, a prompt longer than the context, a
    failure) is null. A reply counts its end-of-turn token unless the length limit cut it. Without a scorer, as
    where only an API knows the model, all nine are null. Log-probabilities that `pairs` held before are replaced.
    """
    table = conform(pairs.drop(list(LOGPS), strict=False), PAIRS)
    if scorer is None:
        return conform(table, SCORES)
    pairs = table.select(list(PAIRS.columns)).unique("pair_id", keep="first", maintain_order=True)
    logps = _logps(pairs.to_dicts(), scorer)
    return conform(table.join(logps, on="pair_id", how="left", maintain_order="left"), SCORES)


def _logps(rows: Sequence[Mapping[str, Any]], scorer: Scorer) -> pl.DataFrame:
    asked = [each for row in rows for each in _asked(row)]
    answers = {answer.id: answer for answer in scorer.score([each.request for each in asked])}
    measured: dict[str, dict[str, Any]] = {row["pair_id"]: {"pair_id": row["pair_id"]} for row in rows}
    for each in asked:
        measured[each.pair_id].update(_measured(each, answers.get(each.request.id)))
    schema = {"pair_id": pl.String(), **{name: column.dtype for name, column in LOGPS.items()}}
    return pl.DataFrame(list(measured.values()), schema=schema)


def _asked(row: Mapping[str, Any]) -> list[Asked]:
    present = [reply for reply in REPLIES if row[reply] is not None]
    replies = tuple(Reply(row[reply], row[f"finish_{reply}"] != "length") for reply in present)
    conversations = views(row["prompt"], row["system_good"], row["system_bad"])._asdict()
    return [
        Asked(
            ScoreRequest(f"score/{row['pair_id']}/{view}", messages, replies),
            row["pair_id"],
            tuple(logp_column(reply, view) for reply in present),
        )
        for view, messages in conversations.items()
        if messages is not None
    ]


def _measured(asked: Asked, answer: Score | None) -> dict[str, float | None]:
    if answer is None or (answer.error is not None and not answer.logps):
        return {}
    pairs = zip(asked.columns, answer.logps, strict=True)
    return {column: logp for column, logp in pairs if logp is not None and math.isfinite(logp)}
