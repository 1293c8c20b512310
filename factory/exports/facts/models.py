"""The shape of a run's numbers. Whatever a run folder does not hold is None or empty."""

from typing import Any

from pydantic import Field

from factory.exports.facts import FunnelFacts, Histogram, Lengths, Model, Share, share
from factory.exports.facts.bill import Bill
from factory.exports.facts.judges import JudgeFacts
from factory.exports.facts.making import PRINCIPLES
from factory.stages.audit_model import JudgeAgreement
from factory.stages.estimated import Estimated
from factory.stages.health import Health, warnings
from factory.stages.quality import Quality
from factory.statistics.shares import Interval, widest
from factory.strict import Strict


class IterationFacts(Strict):
    """One round of generation and training."""

    number: int
    prompts: int | None = None
    pairs: int | None = None
    set_aside: dict[str, int] = Field(default_factory=dict)
    """Reason to number of triples that came to nothing."""
    likelihood: dict[str, float] = Field(default_factory=dict)
    """Mean over pairs of e^{pi~}, the probability per token of a reply under a view: `chosen_plain`, …"""
    kept: int | None = None
    metrics: list[dict[str, float | None]] = Field(default_factory=list)
    """Lines of metrics.jsonl, thinned out evenly."""


class AuditedGroup(Strict):
    """Verdicts on some of the audited pairs."""

    n: int = 0
    right: int = 0
    unsure: int = 0
    wrong: int = 0
    invalid: int = 0

    @property
    def share(self) -> Share | None:
        """The right ones among those with a verdict."""
        return share(self.right, self.n)


class AuditFacts(AuditedGroup, extra="ignore"):
    """audit.json, as far as it is there and is shown."""

    judge: str | None = None
    accuracy_without_unsure: float | None = None
    accuracy_with_unsure: float | None = None
    wilson_low: float | None = None
    wilson_high: float | None = None
    first_slot_rate: float | None = None
    longer_chosen_rate: float | None = None
    always_longer_accuracy: float | None = None
    bootstrap_low: float | None = None
    bootstrap_high: float | None = None
    health: Health | None = None
    """What the auditor's votes lean to."""
    estimate: Estimated | None = None
    """The share of right labels, where people labelled pairs."""
    agreement: list[JudgeAgreement] = Field(default_factory=list)
    groups: dict[str, dict[str, AuditedGroup]] = Field(default_factory=dict)
    """By iteration and by feature, as far as there is more than one."""

    @property
    def interval(self) -> Interval:
        """Of the agreement: the wider one, as the pairs of a prompt are right or wrong together."""
        return widest(self.wilson_low, self.wilson_high, self.bootstrap_low, self.bootstrap_high)


class SpreadLengths(Strict):
    """Lengths of some pairs, and how they spread."""

    lengths: Lengths
    histogram: Histogram


class RunFacts(Strict):
    """A run in numbers."""

    name: str
    seed: int | None = None
    version: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict)
    """The configuration without places and engines: no path, address or key."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """The configuration with whatever else decided the pairs and may be public, and fingerprints of what was read."""
    maker: str = PRINCIPLES
    """What `pairs.from` names."""
    models: list[Model] = Field(default_factory=list)
    prompts_license: str | None = None
    principles: dict[str, Any] | None = None
    """The principle set in full, or None where none was used or it is not there any more."""
    iterations: list[IterationFacts] = Field(default_factory=list)
    funnel: FunnelFacts | None = None
    lengths: list[SpreadLengths] = Field(default_factory=list)
    """Of what reached the length balance and of what it kept; of the kept pairs alone where nothing was balanced."""
    judges: list[JudgeFacts] = Field(default_factory=list)
    kept_verdicts: dict[str, int] = Field(default_factory=dict)
    """Of the kept pairs that judges voted on how many are `unsure`, `wrong`, `once`, `unread` and `right`."""
    prices: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Who was asked to what a million tokens sent, and received, cost, as the configuration says."""
    caveats: list[str] = Field(default_factory=list)
    """What must be known of the kept pairs before they are used, in sentences."""
    quality: Quality | None = None
    """The kept pairs by their judges, where the run has measured it."""
    audit: AuditFacts | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    """Stage to the time it took, where its manifest is there."""

    bill: Bill = Bill()
    """What policy, judges and audit took."""
    finished: str | None = None
    """The day its last stage was finished."""

    def likelihood(self, reply: str) -> list[tuple[int, float]]:
        """Iteration and mean e^{pi~} of a reply under no principle, where that was measured."""
        key = f"{reply}_plain"
        return [(it.number, it.likelihood[key]) for it in self.iterations if key in it.likelihood]

    @property
    def kept_lengths(self) -> Lengths | None:
        """Of the kept pairs."""
        return self.lengths[-1].lengths if self.lengths else None

    @property
    def warnings(self) -> list[str]:
        """What must be known of the judges before any number is believed."""
        audited = [self.audit.health] if self.audit and self.audit.health else []
        return warnings([*(judge.health for judge in self.judges), *audited])
