"""`refusal`: replies that decline to answer."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field, field_validator

from filters.base import Filter, among, sided

_CANNOT = r"(?:can(?:no|['’]?)t|can not|won['’]?t|will not|(?:am|are|['’]m|['’]re) (?:unable|not able)|must decline)"
_DO = (
    r"(?:help|assist|provide|answer|comply|fulfil|fulfill|support|engage|create|generate|write|discuss|share|offer|give"
    r"|do|to)"
)
PATTERNS = (
    rf"(?:i|we)(?:['’]m|['’]re| am| are)(?: \w+)? (?:sorry|afraid)\b[^.!?\n]{{0,80}}?\b{_CANNOT}",
    rf"(?:sorry|(?:my )?apologies|i apologi[sz]e)\b[^.!?\n]{{0,40}}[,.;:!]? (?:but )?(?:i|we) ?{_CANNOT}",
    rf"(?:unfortunately,? |regrettably,? )?i ?{_CANNOT}(?: {_DO}\b|[.,])",
    r"(?:unfortunately,? |regrettably,? )?i (?:must|have to|need to)(?: \w+)? (?:decline|refuse)\b",
    r"as an? (?:ai|artificial intelligence|(?:large )?language model)\b[^.!?\n]{0,80}?\bi ?"
    rf"(?:{_CANNOT}|do(?: not|n['’]?t))",
    r"i (?:do not|don['’]?t) feel comfortable\b",
)
"""How refusals begin, lower case, our own list; looked for in the opening of a reply only."""


class Refusal(Filter):
    """Drops a pair when one of `replies` opens by declining to answer."""

    name: ClassVar[str] = "refusal"
    reasons: ClassVar[Mapping[str, str]] = sided("refusal", "opens by declining to answer")

    replies: tuple[Literal["chosen", "rejected"], ...] = ("chosen", "rejected")
    """Replies looked at; a set that teaches when to refuse looks at none or at `rejected` alone."""
    patterns: tuple[str, ...] = ()
    """Further regular expressions (Rust syntax, lower case) for how a refusal begins."""
    opening: int = Field(200, ge=1)
    """Characters of the reply that are looked at."""

    @field_validator("patterns")
    @classmethod
    def _compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            # Tried, since polars' engine is Rust's: what Python compiles, such as a look-ahead, it may refuse.
            try:
                pl.Series([""]).str.contains(pattern)
            except pl.exceptions.ComputeError as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return value

    def measures(self) -> dict[str, pl.Expr]:
        """Whether each reply opens with a refusal."""
        return {f"refuses_{reply}": self.refuses(pl.col(reply)) for reply in self.replies}

    def refuses(self, text: pl.Expr) -> pl.Expr:
        """Whether a text opens with a refusal."""
        pattern = r"^\W*(?:" + "|".join(f"(?:{one})" for one in (*PATTERNS, *self.patterns)) + ")"
        return text.str.slice(0, self.opening).str.to_lowercase().str.contains(pattern)

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`chosen_refusal`, `rejected_refusal` or `both_refusal`."""
        return rows.with_columns(reason=among({one: pl.col(f"refuses_{one}") for one in self.replies}, "refusal"))
