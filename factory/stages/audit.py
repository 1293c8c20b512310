"""The audit: what a judge's verdicts say about the labels of pairs, with intervals, biases and cost."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import polars as pl

from factory.identity import draw
from factory.stages.audit_counts import DECIDED, INVALID, AuditCounts, measured
from factory.stages.audit_model import AuditReport, Confound, GapRow, Gold, JudgeAgreement, LengthRow, Stratum
from factory.stages.audit_sample import STRATA
from factory.stages.estimated import Estimated, Together
from factory.stages.gold import CHOSEN, TIE
from factory.stages.parts import parts
from factory.statistics.estimate import IN_BOTH, estimate_from, verdict_score
from factory.statistics.judges import SCORE, judge_columns
from factory.statistics.panel import decided, panel
from factory.statistics.shares import Interval, cluster_bootstrap, cohens_kappa, ratio, widest, wilson
from filters.confounds import confounds, records

_FAR = 3.0
"""Standard errors beyond which labelled pairs are told to differ from all: once in 370 random draws."""
_GAP_BINS = 8
"""Bins of the table of length gaps."""


def report(
    pairs: pl.LazyFrame,
    judgments: Iterable[pl.DataFrame],
    judge: str,
    seed: int,
    gold: pl.DataFrame | None = None,
    wrote: bool = False,
    population: int | None = None,
) -> AuditReport:
    """What `judgments` say about `pairs`, by the votes of `judge`; other judges' votes serve for agreement alone.

    `pairs` has pair_id (each once), prompt_id, chosen, rejected and, where known, iteration and feature. Of judgments
    there is a table for each of its `parts`, with all votes on them; the answers are not looked at. `gold` has pair_id
    and gold (chosen, rejected or tie) of those that a person has labelled. Joined by pair_id: the order of rows within
    a part means nothing; `wrote` says that the judge wrote replies, and `population` how many pairs these were drawn
    from, where there are more. Without labels shares are of agreement with the judge; with them `estimate` is of
    accuracy.
    """
    counts = AuditCounts(judge, gold)
    for part, said in zip(parts(measured(pairs)), judgments, strict=True):
        counts.add(part, said)
    rows, spent = counts.rows(), counts.spent()
    tally = _tally(_verdicts(rows))
    unequal = rows.filter((pl.col("gap") != 0) & pl.col("verdict").is_in(["right", "wrong"]))
    preferred_longer = unequal.filter((pl.col("gap") > 0) == (pl.col("verdict") == "right"))
    interval = _bootstrap(rows, seed)
    n, right, unsure = tally["n"], tally["right"], tally["unsure"]
    estimated = _estimate(rows, judge, interval, population)
    return AuditReport(
        judge=judge,
        pairs=rows.height,
        population=population or rows.height,
        **tally,
        accuracy_with_unsure=ratio(right + unsure, n),
        health=next(iter(counts.leanings.healths([judge] if wrote else [])), None),
        bootstrap_low=interval.low,
        bootstrap_high=interval.high,
        flip_rate=ratio(unsure, n),
        first_slot_rate=ratio(spent.pop("first"), spent.pop("read")),
        longer_chosen_rate=ratio(rows.filter(pl.col("gap") > 0).height, rows.height),
        always_longer_accuracy=ratio(preferred_longer.height, unequal.height),
        **spent,
        strata=_strata(counts.strata()),
        lengths=[_lengths(name, rows) for name in ("all", *DECIDED, INVALID)],
        gaps=_gaps(rows),
        agreement=_agreement(counts),
        gold=None if gold is None else _gold(rows),
        accuracy_decided=ratio(right, right + tally["wrong"]),
        together=_together(rows, counts),
        estimate=estimated,
        measure=estimated.measure,
        meaning=". ".join([estimated.meaning(judge, population), *_apart(rows)]),
        confounds=[Confound(**row) for row in records(confounds(pairs))],
    )


def _verdicts(rows: pl.DataFrame) -> dict[str, int]:
    return dict(rows["verdict"].value_counts().iter_rows())


def _tally(counts: Mapping[str, int]) -> dict[str, Any]:
    """The fields of Tally."""
    found = {name: counts.get(name, 0) for name in (*DECIDED, INVALID)}
    n = sum(found[name] for name in DECIDED)
    interval = wilson(found["right"], n)
    return {
        "n": n,
        **found,
        "accuracy_without_unsure": ratio(found["right"], n),
        "wilson_low": interval.low,
        "wilson_high": interval.high,
    }


def _strata(counts: pl.DataFrame) -> list[Stratum]:
    grouped = counts.sort(*STRATA, nulls_last=True).group_by(*STRATA, maintain_order=True)
    return [
        Stratum(iteration=iteration, feature=feature, **_tally(dict(part.select("verdict", "len").iter_rows())))
        for (iteration, feature), part in grouped
    ]


def _bootstrap(rows: pl.DataFrame, seed: int) -> Interval:
    decided = rows.filter(pl.col("verdict").is_in(DECIDED))
    by_prompt = decided.group_by("prompt").agg(hits=(pl.col("verdict") == "right").sum(), n=pl.len())
    hits, totals = (by_prompt[name].cast(pl.Int64).to_numpy() for name in ("hits", "n"))
    return cluster_bootstrap(hits, totals, draw(seed, "bootstrap"))


def _lengths(verdict: str, rows: pl.DataFrame) -> LengthRow:
    part = rows if verdict == "all" else rows.filter(pl.col("verdict") == verdict)
    sides = {
        f"{side}_{kind}": getattr(part[side], kind)() for side in ("chosen", "rejected") for kind in ("mean", "median")
    }
    longer = ratio(part.filter(pl.col("gap") > 0).height, part.height)
    return LengthRow(verdict=verdict, pairs=part.height, longer_chosen_rate=longer, **sides)


def _gaps(rows: pl.DataFrame) -> list[GapRow]:
    """Verdicts along the length gap, in bins of about equally many pairs; equal gaps stay in one bin."""
    # rank max: equal gaps have one rank, and so one bin.
    bins = ((pl.col("gap").rank("max").cast(pl.Int64) - 1) * _GAP_BINS // pl.len()).alias("bin")
    counts = [(pl.col("verdict") == name).sum().alias(name) for name in (*DECIDED, INVALID)]
    found = rows.group_by(bins).agg(pl.min("gap").alias("low"), pl.max("gap").alias("high"), *counts).sort("bin")
    return [GapRow(**row) for row in found.drop("bin").iter_rows(named=True)]


def _agreement(counts: AuditCounts) -> list[JudgeAgreement]:
    """Between every two judges, `judge` first, on the audited pairs both of them have read."""
    made = []
    for one, two in combinations(sorted({counts.judge, *counts.judges}, key=counts.first), 2):
        for on in ("verdicts", "votes"):
            found = cohens_kappa(counts.agreed[one, two, on])
            made.append(JudgeAgreement(judges=(one, two), on=on, **found._asdict()))
    return made


def _right() -> pl.Expr:
    """1 where a person found chosen better, 0 where not, null where nobody was asked."""
    return (pl.col("gold") == CHOSEN).cast(pl.Float64).alias("right")


def _estimate(rows: pl.DataFrame, judge: str, clustered: Interval, population: int | None) -> Estimated:
    """From all judges' votes where there are labels to weigh them by; else the agreement with the one that audits.

    Agreement has the interval of prompts drawn whole, as the pairs of a prompt are right or wrong together. Labels are
    of pairs drawn one by one out of these pairs, whatever prompts they are of.
    """
    heard = judge_columns(rows) if rows["gold"].count() else [SCORE + judge]
    said = verdict_score(pl.col("verdict").cast(pl.String)).alias(IN_BOTH)
    found = Estimated(**estimate_from(rows.select(*heard, said, _right()), pairs=population)._asdict())
    return found if found.n_gold else found.model_copy(update=widest(found.low, found.high, *clustered)._asdict())


def _apart(rows: pl.DataFrame) -> list[str]:
    """A sentence where the judge's verdicts on labelled pairs are not those of a random part of all.

    The mean verdict (right 1, wrong 0) is held against the mean of all at three standard errors, without replacement.
    """
    score = verdict_score(pl.col("verdict").cast(pl.String)).fill_null(0.5)
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


def _together(rows: pl.DataFrame, counts: AuditCounts) -> Together | None:
    """All judges with votes on these pairs, where there are several."""
    if len(counts.judges) < 2:
        return None
    found = panel(rows.filter("heard").select(*(SCORE + judge for judge in counts.judges), _right()))
    said = Counter(decided(found.combined.p_right))
    return Together(
        judges=counts.judges,
        effective_judges=found.effective.judges,
        effective_from=found.effective.measured_on,
        method=found.combined.method,
        **{name: said[name] for name in DECIDED},
    )


def _gold(rows: pl.DataFrame) -> Gold:
    labelled = rows.filter(pl.col("gold").is_not_null())
    chosen = labelled.filter(pl.col("gold") == "chosen").height
    # Where people found rejected better, the judge is right that calls the label wrong.
    turned = pl.col("verdict").replace_strict({"right": "wrong", "wrong": "right"}, default=pl.col("verdict"))
    states = labelled.filter(pl.col("gold") != TIE).select(
        verdict=pl.when(pl.col("gold") == CHOSEN).then("verdict").otherwise(turned)
    )
    tally = _tally(_verdicts(states))
    tally.pop(INVALID)
    return Gold(
        labelled=labelled.height,
        chosen_right=ratio(chosen, labelled.height),
        accuracy_with_unsure=ratio(tally["right"] + tally["unsure"], tally["n"]),
        **tally,
    )
