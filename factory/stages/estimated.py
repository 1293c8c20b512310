"""What an audit says of the share of right labels: an estimate, a certificate, and several judges together."""

from factory.errors import percent, span
from factory.strict import Strict


class Estimated(Strict):
    """How many labels are right, see `factory.estimate`; under the method `agreement`, how often the judge agrees."""

    accuracy: float | None
    """Share of right labels among all pairs that the audited ones were drawn from; of agreement, which is no accuracy,
    where there are no labels."""
    low: float | None
    """Ends of its 95 % interval."""
    high: float | None
    method: str
    """`prediction_powered` (votes and labels), `labels` (the judge adds nothing), `agreement` (there are no labels)."""
    n: int
    """Audited pairs."""
    n_gold: int
    """Those of them that a person has labelled."""
    worth: int
    """So many labels more, alone, would give the same interval."""
    needed: int | None
    """So many labels more would halve it."""
    effective_judges: float
    """So many independent judges these are worth."""
    effective_from: str
    """`errors` on labelled pairs, or `votes`."""

    @property
    def measure(self) -> str:
        """What the share is of: accuracy where people labelled pairs, else agreement."""
        return "accuracy" if self.n_gold else "agreement"

    def meaning(self, judge: str, population: int | None = None) -> str:
        """The number in a sentence, with what it does not say; `population` is what the pairs were drawn from."""
        if self.accuracy is None or self.low is None or self.high is None:
            return "No verdict could be read, so that nothing can be said of these pairs"
        share, ends = percent(self.accuracy), span(percent(self.low), percent(self.high))
        share = share if ends == share else f"{share} ({ends})"
        if not self.n_gold:
            return (
                f"{share} is agreement: so often {judge} prefers the reply called chosen, in both orders. It is no"
                " accuracy: the judge may be wrong itself, and how often, only labels by people can tell (--gold)"
            )
        pairs = max(self.n, population or 0)
        of = f"Accuracy {share}: so many of all {pairs:,} pairs are labelled right, by {self.n_gold:,} labels of people"
        if self.n_gold == pairs:
            return f"{of}, which are all there are"
        more = f"{self.needed:,} labels more would halve the interval"
        if self.method == "labels":
            return f"{of} alone, to which the judge adds nothing; {more}"
        return f"{of} and the judge's votes, which are as good as {self.worth:,} labels; {more}"


class Certificate(Strict):
    """Whether at least a share of all pairs are right, told as soon as it was certain, see `factory.statistics`."""

    share: float
    """What was to be certified."""
    measure: str
    """`agreement`: right is a pair whose chosen reply the judge prefers, in both orders; `accuracy`: that people do."""
    verdict: str
    """`above`: at least the share; `below`: less; `undecided`."""
    risk: float
    """That a certificate is false, at most."""
    right: int
    drawn: int
    """Pairs looked at, in random order."""
    pairs: int
    """Pairs there are."""
    low: float
    """The share of right ones among all pairs is at least this, at that risk, however often one looks."""
    high: float

    def says(self, judge: str) -> str:
        """The certificate in a sentence."""
        who = judge if self.measure == "agreement" else "people"
        looked = f"of {self.drawn:,} pairs {who} preferred the reply called chosen in {self.right:,}"
        # All its digits: "at least 75.5 %" is more than 75.49 % say.
        share = percent(self.share, len(f"{100 * self.share:.10g}".partition(".")[2]))
        if self.verdict == "undecided":
            return f"Not certain whether the {self.measure} is at least {share} of all {self.pairs:,} pairs: {looked}"
        more = "at least" if self.verdict == "above" else "less than"
        return (
            f"Certified at a risk of {percent(self.risk, 0)}: the {self.measure} is {more} {share} of all"
            f" {self.pairs:,} pairs; {looked}"
        )


class Together(Strict):
    """Several judges' votes on the audited pairs, as one verdict; see `factory.statistics.panel`."""

    judges: list[str]
    effective_judges: float
    """So many independent judges these are worth (Kish): 1 for copies of one."""
    effective_from: str
    """`errors` on labelled pairs, or `votes`, which makes it a lower bound."""
    method: str
    """`vote`: the mean of all votes; `calibrated`: weighed by people's labels."""
    right: int
    """Pairs whose chosen reply the judges prefer together; weighed by labels, pairs more likely right than not."""
    unsure: int
    wrong: int
