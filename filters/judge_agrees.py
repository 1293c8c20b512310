"""`judge_agrees`: the judges' votes decide."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl

from filters import votes
from filters.base import Filter


class JudgeAgrees(Filter):
    """Drops the pairs that a rule over all judges' votes rejects, and those whose needed votes cannot be read."""

    name: ClassVar[str] = "judge_agrees"
    reasons: ClassVar[Mapping[str, str]] = {
        "prefers_rejected": "a judge voted for rejected in both orders",
        "vote_for_rejected": "a judge voted for rejected, once at least (rule no_vote_for_rejected)",
        "not_right": "a judge did not vote for chosen in both orders (rule all_right)",
        "invalid": "a vote that the rule needed could not be read",
        "not_judged": "a judge that counts was not asked about the pair",
    }

    rule: Literal["no_judge_prefers_rejected", "no_vote_for_rejected", "all_right"] = "no_judge_prefers_rejected"
    """no_judge_prefers_rejected: both votes of a judge drop; no_vote_for_rejected: any vote drops; all_right: what not
    every judge calls right is dropped."""
    judges: tuple[str, ...] | None = None
    """Names of the judges that count; null: every judge in the judgments, by name."""

    @property
    def needs_votes(self) -> bool:
        """Always."""
        return True

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The rule's reason, `invalid` or `not_judged`, with the judge as detail."""
        judges = votes.judges_joined(rows.collect_schema().names()) if self.judges is None else self.judges
        reason, detail = votes.decided(judges, votes.rule_named(self.rule))
        return votes.with_judges(rows, judges).with_columns(reason=reason, detail=detail)
