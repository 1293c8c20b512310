"""What an audit reports: audit.json as records."""

from typing import Any

from pydantic import Field

from factory.errors import percent, span
from factory.stages.estimated import Certificate, Estimated, Together
from factory.stages.health import Health
from factory.statistics.shares import Interval, widest
from factory.strict import Strict


class VerdictCounts(Strict):
    """Verdicts of some pairs. n = right + unsure + wrong; invalid stands beside it."""

    n: int
    right: int
    unsure: int
    wrong: int
    invalid: int
    accuracy_without_unsure: float | None
    """right / n, unsure pairs counting as not right: agreement with the judge, which without labels is no accuracy."""
    wilson_low: float | None
    """95 % Wilson interval of right / n."""
    wilson_high: float | None


class Stratum(VerdictCounts):
    """The pairs of one iteration and feature."""

    iteration: int | None
    feature: str | None


class LengthRow(Strict):
    """Lengths, in characters, of the pairs with one verdict, or of all."""

    verdict: str
    pairs: int
    chosen_mean: float | None
    rejected_mean: float | None
    chosen_median: float | None
    rejected_median: float | None
    longer_chosen_rate: float | None


class GapRow(Strict):
    """Verdicts of the pairs whose chosen is longer by this many characters (low to high, both within)."""

    low: int
    high: int
    right: int
    unsure: int
    wrong: int
    invalid: int


class JudgeAgreement(Strict):
    """How far two judges agree, on `verdicts` (right, unsure, wrong) or on single `votes` (same pair, same order)."""

    judges: tuple[str, str]
    on: str
    n: int
    agreement: float | None
    kappa: float | None
    """Cohen's."""


class Gold(Strict):
    """The judge against given labels, and the pairs against them."""

    labelled: int
    """Pairs with a label."""
    chosen_right: float | None
    """Share of them whose label is chosen."""
    n: int
    """Labelled pairs, ties aside, with a readable verdict; right: it is the label's; wrong: it is the other one's."""
    right: int
    unsure: int
    wrong: int
    accuracy_without_unsure: float | None
    accuracy_with_unsure: float | None
    wilson_low: float | None
    wilson_high: float | None


class Confound(Strict):
    """A trait of form and how much oftener chosen replies have it than rejected ones, see `filters.confounds`."""

    name: str
    chosen: float
    """Share of the chosen replies that have it."""
    rejected: float
    difference: float
    low: float
    """Lower end of the difference's interval, which holds at 95 % for all traits together."""
    high: float
    n: int
    says: str | None
    """A sentence where the difference is beyond chance."""


class AuditReport(Strict):
    """Everything an audit found; audit.json holds these keys. A share of nothing is null."""

    judge: str
    pairs: int
    """Pairs looked at: n + invalid."""
    n: int
    right: int
    unsure: int
    wrong: int
    invalid: int
    """Pairs without two readable votes."""
    accuracy_without_unsure: float | None
    accuracy_with_unsure: float | None
    """(right + unsure) / n"""
    wilson_low: float | None
    wilson_high: float | None
    bootstrap_low: float | None
    """95 % interval of right / n, prompts drawn as a whole: Wilson's, of as many pairs as these are worth by a
    bootstrap."""
    bootstrap_high: float | None
    flip_rate: float | None
    """unsure / n"""
    first_slot_rate: float | None
    """Share of all readable votes that went to the reply shown first."""
    longer_chosen_rate: float | None
    """Share of the pairs whose chosen is longer."""
    always_longer_accuracy: float | None
    """How often the longer reply is the one a decided verdict prefers, among pairs of unequal length."""
    requests: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    strata: list[Stratum]
    lengths: list[LengthRow]
    gaps: list[GapRow]
    agreement: list[JudgeAgreement]
    gold: Gold | None
    confounds: list[Confound] = Field(default_factory=list)
    reading: dict[str, Any] | None = None
    """How the pairs were read, where they were: layout, columns, rows set aside, warnings, one pair."""
    accuracy_decided: float | None = None
    """right / (right + wrong)"""
    population: int | None = None
    """Pairs that those looked at were drawn from: with labels, the estimate is of the share among these."""
    estimate: Estimated | None = None
    """None in audits of older versions."""
    certificate: Certificate | None = None
    """Where a share was to be certified."""
    together: Together | None = None
    """Of several judges, where there are votes of several on these pairs."""
    measure: str = "agreement"
    """What `estimate` is of: agreement with the judge, or accuracy where people labelled pairs."""
    meaning: str = ""
    """The estimate in a sentence, with what it does not say."""
    health: Health | None = None
    """What the judge's votes lean to; None where it gave none, and in audits of older versions."""

    @property
    def interval(self) -> Interval:
        """Of the agreement: with prompts drawn whole where that is wider; at any time, where it was to be certified."""
        if self.certificate is not None and self.certificate.measure == "agreement":
            return Interval(self.certificate.low, self.certificate.high)
        return widest(self.wilson_low, self.wilson_high, self.bootstrap_low, self.bootstrap_high)

    @property
    def warnings(self) -> list[str]:
        """What must be known of the judge before any number is believed."""
        return self.health.warnings if self.health else []

    @property
    def said(self) -> list[str]:
        """A sentence for each confound beyond chance."""
        return [row.says for row in self.confounds if row.says]

    def headline(self) -> dict[str, object]:
        """What the command line shows."""
        shown: dict[str, object] = {"judge": self.judge}
        if self.estimate is not None and self.gold is not None:
            shown |= {"accuracy": rate(self.estimate.accuracy)}
            source = "labels alone" if self.estimate.method == "labels" else "labels and votes"
            shown |= {f"  95 % interval, from {source}": between(self.estimate.low, self.estimate.high)}
            shown |= {"  pairs that people labelled": self.gold.labelled}
        shown |= {
            "pairs with a verdict": self.n,
            "right": self.right,
            "unsure": self.unsure,
            "wrong": self.wrong,
            "invalid, beside them": self.invalid,
            "agreement with the judge: right / n": rate(self.accuracy_without_unsure),
            **self._interval(),
            "  where it decided: right / (right + wrong)": rate(self.accuracy_decided),
            "  unsure counted in: (right + unsure) / n": rate(self.accuracy_with_unsure),
            "flip rate": rate(self.flip_rate),
            "votes for the first slot": rate(self.first_slot_rate),
            "chosen is longer": rate(self.longer_chosen_rate),
            "how often 'always the longer' agrees": rate(self.always_longer_accuracy),
            "requests": self.requests,
            "prompt tokens": self.prompt_tokens,
            "completion tokens": self.completion_tokens,
            "cost": self.cost,
        }
        if self.gold is not None:
            shown["judge's accuracy on gold labels"] = rate(self.gold.accuracy_without_unsure)
        if self.together is not None:
            shown[f"independent judges that {len(self.together.judges)} are worth"] = self.together.effective_judges
        return shown

    def _interval(self) -> dict[str, object]:
        anytime = self.certificate is not None and self.certificate.measure == "agreement"
        label = "  each end at 95 %, at any time, unread wrong" if anytime else "  95 % interval"
        return {label: between(*self.interval)}


def rate(value: float | None) -> str | None:
    """A share as people read it."""
    return None if value is None else percent(value)


def between(low: float | None, high: float | None) -> str | None:
    """An interval of shares as people read it."""
    return None if low is None or high is None else span(percent(low), percent(high))
