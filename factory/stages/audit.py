"""The audit: what a judge's verdicts say about the labels of pairs, with intervals, biases and cost."""

from collections import Counter
from itertools import combinations
from typing import Any

import polars as pl

from factory.identity import draw
from factory.schema import ORDERS
from factory.stages.audit_model import AuditReport, Confound, GapRow, Gold, JudgeAgreement, LengthRow, Stratum
from factory.stages.audit_sample import STRATA
from factory.stages.estimated import Estimated, Together
from factory.stages.gold import TIE
from factory.stages.gold import right as as_right
from factory.stages.health import health
from factory.statistics.estimate import estimate
from factory.statistics.panel import decided, panel
from factory.statistics.shares import Interval, cluster_bootstrap, cohens_kappa, ratio, wilson
from filters.confounds import confounds, records
from filters.votes import verdicts

SAID = ("pair_id", "judge", "order", "vote", "prompt_tokens", "completion_tokens", "cost", "tries")
"""Columns of judgments that a report is made of: not the answers."""
DECIDED = ("right", "unsure", "wrong")
_FAR = 3.0
"""Standard errors beyond which labelled pairs are told to differ from all: once in 370 random draws."""
_GAP_BINS = 8
"""Bins of the table of length gaps."""


def report(
    pairs: pl.LazyFrame,
    judgments: pl.DataFrame,
    judge: str,
    seed: int,
    gold: pl.DataFrame | None = None,
    wrote: bool = False,
) -> AuditReport:
    """What `judgments` say about `pairs`, by the votes of `judge`; other judges' votes serve for agreement alone.

    `pairs` has pair_id (each once), prompt_id, chosen, rejected and, where known, iteration and feature; of `judgments`
    the answers are not looked at; `gold` has
    pair_id and gold (chosen, rejected or tie) of those that a person has labelled. Joined by pair_id: the order of
    rows means nothing; `wrote` says that the judge wrote replies. Without labels shares are of agreement with the
    judge; with them `estimate` is of accuracy.
    """
    rows = _rows(pairs, judgments, judge, gold)
    votes = judgments.filter(pl.col("judge") == judge).join(rows.select("pair_id"), on="pair_id", how="semi")
    tally = _tally(rows)
    unequal = rows.filter((pl.col("gap") != 0) & pl.col("verdict").is_in(["right", "wrong"]))
    preferred_longer = unequal.filter((pl.col("gap") > 0) == (pl.col("verdict") == "right"))
    interval = _bootstrap(rows, seed)
    n, right, unsure = tally["n"], tally["right"], tally["unsure"]
    estimated = _estimate(rows, judgments, judge)
    return AuditReport(
        judge=judge,
        pairs=rows.height,
        **tally,
        accuracy_with_unsure=ratio(right + unsure, n),
        health=next(iter(health(votes, rows, [judge] if wrote else [])), None),
        bootstrap_low=interval.low,
        bootstrap_high=interval.high,
        flip_rate=ratio(unsure, n),
        first_slot_rate=_first_slot_rate(votes),
        longer_chosen_rate=ratio(rows.filter(pl.col("gap") > 0).height, rows.height),
        always_longer_accuracy=ratio(preferred_longer.height, unequal.height),
        requests=int(votes["tries"].fill_null(1).sum()),
        prompt_tokens=_known_sum(votes["prompt_tokens"]),
        completion_tokens=_known_sum(votes["completion_tokens"]),
        cost=_known_sum(votes["cost"]),
        strata=_strata(rows),
        lengths=[_lengths(name, rows) for name in ("all", *DECIDED, "invalid")],
        gaps=_gaps(rows),
        agreement=_agreement(rows, judgments, judge),
        gold=None if gold is None else _gold(rows),
        accuracy_decided=ratio(right, right + tally["wrong"]),
        together=_together(rows, judgments),
        estimate=estimated,
        measure=estimated.measure,
        meaning=". ".join([estimated.meaning(judge), *_apart(rows)]),
        confounds=[Confound(**row) for row in records(confounds(pairs))],
    )


def _rows(pairs: pl.LazyFrame, judgments: pl.DataFrame, judge: str, gold: pl.DataFrame | None) -> pl.DataFrame:
    """[pair_id, prompt_id, iteration, feature, chosen, rejected (lengths), gap, verdict, gold], sorted by pair_id."""
    found = verdicts(judgments).collect().filter(pl.col("judge") == judge).select("pair_id", "verdict")
    schema = pairs.collect_schema()
    strata = [pl.col(name) if name in schema else pl.lit(None).alias(name) for name in STRATA]
    lengths = pairs.select(
        "pair_id",
        "prompt_id",
        *strata,
        pl.col("chosen", "rejected").str.len_chars().cast(pl.Int64),
    ).collect(engine="streaming")
    verdict = pl.when(pl.col("verdict").is_in(DECIDED)).then("verdict").otherwise(pl.lit("invalid")).alias("verdict")
    labels = pl.DataFrame(schema={"pair_id": pl.String, "gold": pl.String}) if gold is None else gold
    joined = lengths.join(found, on="pair_id", how="left").join(labels, on="pair_id", how="left")
    return joined.with_columns(verdict, gap=pl.col("chosen") - pl.col("rejected")).sort("pair_id")


def _tally(rows: pl.DataFrame) -> dict[str, Any]:
    """The fields of Tally."""
    counts = Counter(rows["verdict"])
    n = sum(counts[name] for name in DECIDED)
    interval = wilson(counts["right"], n)
    return {
        "n": n,
        **{name: counts[name] for name in (*DECIDED, "invalid")},
        "accuracy_without_unsure": ratio(counts["right"], n),
        "wilson_low": interval.low,
        "wilson_high": interval.high,
    }


def _strata(rows: pl.DataFrame) -> list[Stratum]:
    grouped = rows.sort(*STRATA, nulls_last=True).group_by(*STRATA, maintain_order=True)
    return [Stratum(iteration=iteration, feature=feature, **_tally(part)) for (iteration, feature), part in grouped]


def _bootstrap(rows: pl.DataFrame, seed: int) -> Interval:
    decided = rows.filter(pl.col("verdict").is_in(DECIDED))
    by_prompt = (
        decided.group_by("prompt_id").agg(hits=(pl.col("verdict") == "right").sum(), n=pl.len()).sort("prompt_id")
    )
    hits, totals = (by_prompt[name].cast(pl.Int64).to_numpy() for name in ("hits", "n"))
    return cluster_bootstrap(hits, totals, draw(seed, "bootstrap"))


def _first_slot_rate(votes: pl.DataFrame) -> float | None:
    read = votes.filter(pl.col("vote").is_not_null())
    first = (read["order"] == ORDERS[0]) == (read["vote"] == "chosen")
    return ratio(int(first.sum()), read.height)


def _known_sum(values: pl.Series) -> Any:
    return values.sum() if values.len() > values.null_count() else None


def _lengths(verdict: str, rows: pl.DataFrame) -> LengthRow:
    part = rows if verdict == "all" else rows.filter(pl.col("verdict") == verdict)
    sides = {
        f"{side}_{kind}": getattr(part[side], kind)() for side in ("chosen", "rejected") for kind in ("mean", "median")
    }
    longer = ratio(part.filter(pl.col("gap") > 0).height, part.height)
    return LengthRow(verdict=verdict, pairs=part.height, longer_chosen_rate=longer, **sides)


def _gaps(rows: pl.DataFrame) -> list[GapRow]:
    """Verdicts along the length gap, in bins of about equally many pairs; equal gaps stay in one bin."""
    if rows.is_empty():
        return []
    ranks = rows["gap"].rank("max")
    bins = ((ranks - 1) * _GAP_BINS / rows.height).floor().cast(pl.Int64)
    parts = rows.with_columns(bin=bins).sort("bin", "pair_id").partition_by("bin", maintain_order=True)
    made = []
    for part in parts:
        counts = Counter(part["verdict"])
        shown = {name: counts[name] for name in (*DECIDED, "invalid")}
        low, high = part.select(low=pl.min("gap"), high=pl.max("gap")).row(0)
        made.append(GapRow(low=low, high=high, **shown))
    return made


def _agreement(rows: pl.DataFrame, judgments: pl.DataFrame, judge: str) -> list[JudgeAgreement]:
    """Between every two judges, `judge` first, on the audited pairs both of them have read."""
    mine = judgments.join(rows.select("pair_id"), on="pair_id", how="semi")
    others = sorted(set(mine["judge"]) - {judge})
    decided = verdicts(mine).collect().filter(pl.col("verdict").is_in(DECIDED)).rename({"verdict": "label"})
    read = mine.filter(pl.col("vote").is_not_null()).rename({"vote": "label"})
    made = []
    for one, two in combinations([judge, *others], 2):
        for on, table, keys in (("verdicts", decided, ["pair_id"]), ("votes", read, ["pair_id", "order"])):
            left, right = (table.filter(pl.col("judge") == name).select(*keys, "label") for name in (one, two))
            both = left.join(right, on=keys, suffix="_two").select("label", "label_two")
            found = cohens_kappa(Counter(both.iter_rows()))
            made.append(JudgeAgreement(judges=(one, two), on=on, **found._asdict()))
    return made


def _estimate(rows: pl.DataFrame, judgments: pl.DataFrame, judge: str) -> Estimated:
    """From all judges' votes where there are labels to weigh them by; else the agreement with the one that audits."""
    labels = as_right(rows.select("pair_id", "gold").drop_nulls())
    heard = judgments if labels.height else judgments.filter(pl.col("judge") == judge)
    votes = heard.select("pair_id", "judge", "order", "vote")
    silent = rows.select("pair_id", judge=pl.lit(judge), order=pl.lit(ORDERS[0]), vote=pl.lit(None, pl.String))
    known = votes.join(rows.select("pair_id"), on="pair_id", how="semi")
    missing = silent.join(known, on="pair_id", how="anti")  # a pair nobody was asked about is one of those to estimate
    return Estimated(**estimate(pl.concat([known, missing]), labels)._asdict())


def _apart(rows: pl.DataFrame) -> list[str]:
    """A sentence where the judge's verdicts on labelled pairs are not those of a random part of all.

    The mean verdict (right 1, wrong 0) is held against the mean of all at three standard errors, without replacement.
    """
    score = pl.col("verdict").replace_strict({"right": 1.0, "wrong": 0.0}, default=0.5)
    known = rows.select(score=score, labelled=pl.col("gold").is_not_null())
    n, m, spread = known.height, int(known["labelled"].sum()), known["score"].std()
    if not 0 < m < n or not isinstance(spread, float) or not spread:
        return []
    part, whole = (some.select(pl.mean("score")).item() for some in (known.filter("labelled"), known))
    if abs(part - whole) <= _FAR * spread * (1 / m - 1 / n) ** 0.5:
        return []
    return [
        f"The labelled pairs are not like all: the judge's mean verdict is {part:.2f} on them and {whole:.2f} on all;"
        " they were hardly drawn at random, and then the interval does not hold"
    ]


def _together(rows: pl.DataFrame, judgments: pl.DataFrame) -> Together | None:
    """All judges with votes on these pairs, where there are several."""
    votes = judgments.join(rows.select("pair_id"), on="pair_id", how="semi")
    judges = sorted(votes["judge"].unique())
    if len(judges) < 2:
        return None
    found = panel(
        votes.select("pair_id", "judge", "order", "vote"), as_right(rows.select("pair_id", "gold").drop_nulls())
    )
    said = Counter(decided(found.combined.p_right))
    return Together(
        judges=judges,
        effective_judges=found.effective.judges,
        effective_from=found.effective.measured_on,
        method=found.combined.method,
        **{name: said[name] for name in DECIDED},
    )


def _gold(rows: pl.DataFrame) -> Gold:
    labelled = rows.filter(pl.col("gold").is_not_null())
    chosen = labelled.filter(pl.col("gold") == "chosen").height
    agreeing = pl.col("verdict").replace({"right": "chosen", "wrong": "rejected"})
    states = labelled.filter(pl.col("gold") != TIE).select(
        verdict=pl.when(pl.col("verdict").is_in(["right", "wrong"]))
        .then(pl.when(agreeing == pl.col("gold")).then(pl.lit("right")).otherwise(pl.lit("wrong")))
        .otherwise("verdict")
    )
    tally = _tally(states)
    tally.pop("invalid")
    return Gold(
        labelled=labelled.height,
        chosen_right=ratio(chosen, labelled.height),
        accuracy_with_unsure=ratio(tally["right"] + tally["unsure"], tally["n"]),
        **tally,
    )
