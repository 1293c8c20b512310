"""How good a run's pairs are, by whom: labels of people, an auditor, or the judges that filtered them."""

from math import sqrt

from factory.exports.facts.models import RunFacts
from factory.strict import Strict


class Opinion(Strict):
    """What one judge says of a run's pairs, or labels of people do."""

    judge: str
    measure: str
    """`agreement` with the judge, or `accuracy`, where people labelled pairs."""
    of: str
    """`audited pairs` or `kept pairs`."""
    n: int
    share: float
    low: float
    """Ends of the 95 % interval."""
    high: float
    unsure: float | None = None
    """Share of pairs whose verdict turned with the order."""

    @property
    def by(self) -> str:
        """Who says so: an accuracy is no judge's."""
        return "labels of people" if self.measure == "accuracy" else self.judge


class OpinionPair(Strict):
    """The same measure in both runs, and how far they lie apart."""

    judge: str
    measure: str
    of: str
    first: Opinion | None
    second: Opinion | None
    difference: float | None = None
    """Second less first."""
    low: float | None = None
    """Ends of the difference's 95 % interval (Newcombe 1998, from both intervals)."""
    high: float | None = None


def opinions(run: RunFacts) -> list[Opinion]:
    """What is said of a run's pairs, the strongest first: labels of people, the auditor, the judges of the filters."""
    found, audit = [], run.audit
    if audit and audit.accuracy_without_unsure is not None:
        who, unsure = audit.judge or "the auditor", audit.unsure / audit.n if audit.n else None
        said = audit.estimate
        if said and said.n_gold and None not in (said.accuracy, said.low, said.high):
            found.append(_opinion(who, "accuracy", "audited pairs", said.n, (said.accuracy, said.low, said.high), None))
        ends: tuple[float | None, ...] = (audit.accuracy_without_unsure, *audit.interval)
        found.append(_opinion(who, "agreement", "audited pairs", audit.n, ends, unsure))
    for judge in run.quality.judges if run.quality else []:
        if judge.n:
            ends = (judge.agreement, judge.low, judge.high)
            found.append(_opinion(judge.judge, "agreement", "kept pairs", judge.n, ends, judge.unsure / judge.n))
    return found


def _opinion(judge: str, kind: str, of: str, n: int, ends: tuple[float | None, ...], unsure: float | None) -> Opinion:
    share = ends[0] or 0.0
    low, high = (share if end is None else end for end in ends[1:])
    return Opinion(judge=judge, measure=kind, of=of, n=n, share=share, low=low, high=high, unsure=unsure)


def opinion_pairs(one: RunFacts, two: RunFacts) -> list[OpinionPair]:
    """The same measures of two runs beside each other, those that both have with their difference."""
    sides = [{(said.measure, said.of, said.judge): said for said in opinions(run)} for run in (one, two)]
    found = []
    for kind, of, judge in dict.fromkeys([*sides[0], *sides[1]]):
        pair = [side.get((kind, of, judge)) for side in sides]
        found.append(OpinionPair(judge=judge, measure=kind, of=of, first=pair[0], second=pair[1], **difference(*pair)))
    return found


def difference(first: Opinion | None, second: Opinion | None) -> dict[str, float]:
    """Second less first with Newcombe's interval: the distances of shares and ends, added as squares."""
    if first is None or second is None:
        return {}
    found = second.share - first.share
    # The lower end of a difference comes of the lower end of the one and the upper end of the other.
    below = sqrt((second.share - second.low) ** 2 + (first.high - first.share) ** 2)
    above = sqrt((second.high - second.share) ** 2 + (first.share - first.low) ** 2)
    return {"difference": found, "low": found - below, "high": found + above}
