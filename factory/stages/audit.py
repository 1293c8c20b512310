"""The audit: what a judge's verdicts say about the accuracy of pairs, with intervals, biases and cost."""

from collections import Counter
from itertools import combinations
from typing import Any

import polars as pl

from factory.errors import InputError
from factory.identity import draw
from factory.schema import ORDERS
from factory.stages.audit_model import Agreement, AuditReport, Confound, GapRow, Gold, LengthRow, Stratum
from factory.stages.audit_sample import STRATA
from factory.statistics.shares import Interval, cluster_bootstrap, cohens_kappa, ratio, wilson
from filters.confounds import confounds, records
from filters.votes import verdicts

DECIDED = ("right", "unsure", "wrong")
_GAP_BINS = 8
"""Bins of the table of length gaps."""


def report(pairs: pl.DataFrame, judgments: pl.DataFrame, judge: str, seed: int, gold: str | None = None) -> AuditReport:
    """What `judgments` say about `pairs`, by the votes of `judge`; other judges' votes serve for agreement alone.

    `pairs` has pair_id (each once), prompt_id, chosen, rejected and, where known, iteration and feature; `gold` names
    its column of labels (chosen or rejected, or 1 or 2; empty where there is none). Joined by pair_id: the order of
    rows means nothing. InputError for a label that is none.
    """
    rows = _rows(pairs, judgments, judge, gold)
    votes = judgments.filter(pl.col("judge") == judge).join(rows.select("pair_id"), on="pair_id", how="semi")
    tally = _tally(rows)
    unequal = rows.filter((pl.col("gap") != 0) & pl.col("verdict").is_in(["right", "wrong"]))
    preferred_longer = unequal.filter((pl.col("gap") > 0) == (pl.col("verdict") == "right"))
    interval = _bootstrap(rows, seed)
    n, right, unsure = tally["n"], tally["right"], tally["unsure"]
    return AuditReport(
        judge=judge,
        pairs=rows.height,
        **tally,
        accuracy_with_unsure=ratio(right + unsure, n),
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
        gold=_gold(rows) if gold else None,
        confounds=[Confound(**row) for row in records(confounds(pairs.lazy()))],
    )


def _rows(pairs: pl.DataFrame, judgments: pl.DataFrame, judge: str, gold: str | None) -> pl.DataFrame:
    """[pair_id, prompt_id, iteration, feature, chosen, rejected (lengths), gap, verdict, gold], sorted by pair_id."""
    found = verdicts(judgments).collect().filter(pl.col("judge") == judge).select("pair_id", "verdict")
    strata = [pl.col(name) if name in pairs.columns else pl.lit(None).alias(name) for name in STRATA]
    lengths = pairs.select(
        "pair_id",
        "prompt_id",
        *strata,
        gold_labels(pairs, gold).alias("gold"),
        pl.col("chosen", "rejected").str.len_chars().cast(pl.Int64),
    )
    verdict = pl.when(pl.col("verdict").is_in(DECIDED)).then("verdict").otherwise(pl.lit("invalid")).alias("verdict")
    joined = lengths.join(found, on="pair_id", how="left").with_columns(
        verdict, gap=pl.col("chosen") - pl.col("rejected")
    )
    return joined.sort("pair_id")


def gold_labels(pairs: pl.DataFrame, gold: str | None) -> pl.Series:
    """chosen, rejected or null for each pair."""
    if gold is None:
        return pl.Series([None] * pairs.height, dtype=pl.String)
    if gold not in pairs.columns:
        raise InputError(f"the pairs have no column {gold} for gold labels; they have {', '.join(pairs.columns)}")
    text = pairs[gold].cast(pl.String).str.strip_chars().replace("", None)
    label = text.replace_strict(
        {"1": "chosen", "2": "rejected", "chosen": "chosen", "rejected": "rejected"}, default=None
    )
    strange = text.filter(text.is_not_null() & label.is_null())
    if len(strange):
        raise InputError(f"the gold column {gold} holds {strange[0]!r}; labels are chosen or rejected, or 1 or 2")
    return label


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
        made.append(GapRow(low=int(part["gap"].min()), high=int(part["gap"].max()), **shown))  # type: ignore[arg-type]
    return made


def _agreement(rows: pl.DataFrame, judgments: pl.DataFrame, judge: str) -> list[Agreement]:
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
            made.append(Agreement(judges=(one, two), on=on, **found._asdict()))
    return made


def _gold(rows: pl.DataFrame) -> Gold:
    labelled = rows.filter(pl.col("gold").is_not_null())
    chosen = labelled.filter(pl.col("gold") == "chosen").height
    agreeing = pl.col("verdict").replace({"right": "chosen", "wrong": "rejected"})
    states = labelled.select(
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
