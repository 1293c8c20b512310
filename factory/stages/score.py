"""Scores: how likely the policy finds each reply of a pair under each view, pi~ of eq. 4."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.config import Training
from factory.engines.base import Reply, Score, Scorer, ScoreRequest
from factory.schema import LOGPS, PAIRS, REPLIES, SCORES, conform, logp_column
from factory.training.conditionals import PLAIN, ObjectiveForm
from filters import build
from filters.base import Filter
from principles.views import views


class ScoreCall(NamedTuple):
    """A request, and where its answer belongs."""

    request: ScoreRequest
    pair_id: str
    columns: tuple[str, ...]
    """The column of each reply of the request, in its order."""


def read_by(training: Training, filters: Sequence[Filter]) -> tuple[str, ...]:
    """The `logp_*` columns that a run reads: loss, filters (of training too), the on-policy measure of its report."""
    loss = ObjectiveForm.of(training).needed if training.method != "none" else ()
    found = {logp_column(*conditional) for conditional in (*PLAIN, *loss)}
    read = (*filters, *build(training.filters))
    # What a filter reads shows in its expressions; nobody has to declare it.
    found |= {name for each in read for measure in each.measures().values() for name in measure.meta.root_names()}
    return tuple(name for name in LOGPS if name in found or training.scores == "all")


def score(pairs: pl.DataFrame, scorer: Scorer | None, wanted: Collection[str] = tuple(LOGPS)) -> pl.DataFrame:
    """`pairs` with the nine `logp_{reply}_{view}` columns, mean log-probability per token, in the order of `pairs`.

    Those that are `wanted` are measured, the others null. One request per pair and view, all in one call; a pair
    without system messages has the plain view alone. What could not be measured (no such reply or view, a prompt
    longer than the context, a failure) is null. A reply counts its end-of-turn token unless the length limit cut it.
    Without a scorer, as where only an API knows the model, all nine are null. Log-probabilities that `pairs` held
    before are replaced.
    """
    table = conform(pairs.drop(list(LOGPS), strict=False), PAIRS)
    if scorer is None:
        return conform(table, SCORES)
    # A pair that is there twice is measured once, and its numbers are joined to both.
    pairs = table.select(list(PAIRS.columns)).unique("pair_id", keep="first", maintain_order=True)
    logps = _logps(pairs.to_dicts(), scorer, wanted)
    return conform(table.join(logps, on="pair_id", how="left", maintain_order="left"), SCORES)


def _logps(rows: Sequence[Mapping[str, Any]], scorer: Scorer, wanted: Collection[str]) -> pl.DataFrame:
    asked = [each for row in rows for each in _asked(row, wanted)]
    answers = {answer.id: answer for answer in scorer.score([each.request for each in asked])}
    measured: dict[str, dict[str, Any]] = {row["pair_id"]: {"pair_id": row["pair_id"]} for row in rows}
    for each in asked:
        measured[each.pair_id].update(_measured(each, answers.get(each.request.id)))
    schema = {"pair_id": pl.String(), **{name: column.dtype for name, column in LOGPS.items()}}
    return pl.DataFrame(list(measured.values()), schema=schema)


def _asked(row: Mapping[str, Any], wanted: Collection[str]) -> Iterator[ScoreCall]:
    conversations = views(row["prompt"], row["system_good"], row["system_bad"])._asdict()
    for view, messages in conversations.items():
        present = [reply for reply in REPLIES if row[reply] is not None and logp_column(reply, view) in wanted]
        if messages is None or not present:
            continue
        replies = tuple(Reply(row[reply], row[f"finish_{reply}"] != "length") for reply in present)
        columns = tuple(logp_column(reply, view) for reply in present)
        yield ScoreCall(ScoreRequest(f"score/{row['pair_id']}/{view}", messages, replies), row["pair_id"], columns)


def _measured(asked: ScoreCall, answer: Score | None) -> dict[str, float | None]:
    # An error beside some numbers is of the replies that have none.
    if answer is None or (answer.error is not None and not answer.logps):
        return {}
    return dict(zip(asked.columns, answer.logps, strict=True))
