"""A share certified while the judge is asked: pairs in random order, in small parts, until the answer is certain."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from factory.schema import JUDGMENTS
from factory.stages.audit_model import AuditReport
from factory.stages.estimated import Certificate
from factory.stages.gold import CHOSEN
from factory.stages.judge import JudgeWithEngine
from factory.stages.judge import judge as ask
from factory.stages.parts import left_of_part
from factory.stages.votes import VoteParts
from factory.statistics.sequential import RISK, Certifier
from filters.hash_draw import hash_draw_expr
from filters.votes import verdicts

_PART = 8
"""Fewest pairs asked about at once: a smaller part would save few questions and keep the judge waiting."""


class Certified(NamedTuple):
    """What was asked until the certificate was there."""

    pairs: pl.LazyFrame
    votes: VoteParts
    certificate: Certificate | None


def random_order(ids: pl.Series, seed: int) -> pl.Series:
    """The ids by a seeded hash of them: the same order whatever theirs was."""
    return ids.to_frame("pair_id").sort(hash_draw_expr(f"certify {seed}"), "pair_id")["pair_id"]


def certify(
    folder: Path,
    ordered: pl.LazyFrame,
    size: int,
    most: int | None,
    member: JudgeWithEngine,
    share: float,
    seed: int,
) -> Certified:
    """Ask the judge about the `size` pairs, in their order, until it is certain whether `share` of them are right.

    The order is to be random. Right is a pair whose chosen reply it prefers in both orders; every other is not, an
    unreadable one among them. A part is never larger than a certificate takes at the least, or than a few pairs; `most`
    pairs are asked about. Votes lie in `folder`, and memory holds those of one part of the table.
    """
    test = Certifier(size, share)
    most = size if most is None else min(most, size)
    votes, open_part, right, drawn = VoteParts(folder), JUDGMENTS.empty(), 0, 0
    while drawn < most and test.verdict(right, drawn) is None:
        least = max(_PART, test.at_least(right, drawn))
        part = ordered.slice(drawn, min(least, most - drawn, left_of_part(drawn))).collect()
        said = ask(part, [member], rule=None, seed=seed)
        right += int((verdicts(said).collect()["verdict"] == "right").sum())
        open_part, drawn = pl.concat([open_part, said]), drawn + part.height
        # At the end of a part, as the report reads votes and pairs side by side, part by part.
        if left_of_part(drawn) == left_of_part(0):
            votes.put(len(votes), open_part)
            open_part = JUDGMENTS.empty()
    if open_part.height:
        votes.put(len(votes), open_part)
    found = certificate(test, right, drawn, size, share, "agreement")
    return Certified(ordered.head(drawn), votes, found)


def certified_by_labels(ids: pl.Series, gold: pl.DataFrame, share: float, pairs: int) -> Certificate:
    """The same of the labels there are, however often more were given and looked at: at least `share` are right.

    Of all `pairs`, out of which those of the `ids` were drawn.
    """
    labels = gold.join(ids.to_frame("pair_id"), on="pair_id", how="semi")["gold"]
    right = int(labels.eq(CHOSEN).sum())
    return certificate(Certifier(pairs, share), right, len(labels), pairs, share, "accuracy")


def certificate(test: Certifier, right: int, drawn: int, pairs: int, share: float, measure: str) -> Certificate:
    """What `right` of `drawn` pairs say."""
    ends = test.ends(right, drawn)
    verdict = test.verdict(right, drawn)
    return Certificate(
        share=share,
        measure=measure,
        verdict=verdict or "undecided",
        risk=RISK,
        right=right,
        drawn=drawn,
        pairs=pairs,
        low=ends.low,
        high=ends.high,
    )


def with_certificate(report: AuditReport, found: Certificate) -> AuditReport:
    """The report of the drawn pairs, opening with the certificate.

    Intervals of a fixed number of pairs do not hold where what was seen decided when to stop: those of agreement become
    the ends of the confidence sequence.
    """
    says = f"{found.says(report.judge)}. {report.meaning}"
    if found.measure == "accuracy" or report.estimate is None:
        return report.model_copy(update={"certificate": found, "meaning": says})
    share = {"accuracy": found.right / found.drawn if found.drawn else None, "low": found.low, "high": found.high}
    estimate = report.estimate.model_copy(update=share)
    says = f"{found.says(report.judge)}. {estimate.meaning(report.judge)}"
    return report.model_copy(update={"certificate": found, "estimate": estimate, "meaning": says})
