"""`leak`: replies that tell which principle they were written under."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl

import principles
from filters.base import Filter, among, sided
from principles.leaks import either, leak_pattern, may_leak_pattern


class Leak(Filter):
    """Drops a pair when a reply names its principle, as in "Engaging response: …" or "As a dull answer, …"."""

    name: ClassVar[str] = "leak"
    reasons: ClassVar[Mapping[str, str]] = sided("leak", "tells which principle it was written under")

    principles: tuple[str, ...] = ("sso",)
    """Principle sets (names or paths) whose adjectives give a reply away."""
    adjectives: tuple[str, ...] = ()
    """Further adjectives."""
    replies: tuple[Literal["chosen", "rejected"], ...] = ("chosen", "rejected")
    """Replies looked at."""

    def measures(self) -> dict[str, pl.Expr]:
        """Whether each reply leaks."""
        features = (feature for name in self.principles for feature in principles.load(name).features)
        words = {*self.adjectives, *(side.adjective for one in features for side in (one.good, one.bad))}
        return {f"leaks_{reply}": leaks(pl.col(reply), frozenset(words)) for reply in self.replies}

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`chosen_leak`, `rejected_leak` or `both_leak`."""
        return rows.with_columns(reason=among({one: pl.col(f"leaks_{one}") for one in self.replies}, "leak"))


def leaks(text: pl.Expr, adjectives: frozenset[str]) -> pl.Expr:
    """Whether each text gives its own principle away, as `principles.leaks` has it."""
    if not adjectives:
        return pl.lit(False)
    # Each pattern costs some ten times the one before it and leaves a tenth of the texts to the next one.
    first = f"(?i){either(adjectives)}" if not all(map(str.isascii, adjectives)) else either(map(str.lower, adjectives))

    def look(texts: pl.Series) -> pl.Series:
        # Small letters are found many times faster than letters of any case, of which the long s alone is not lowered.
        found = texts.str.to_lowercase().str.contains(first) | texts.str.contains("\u017f", literal=True)
        for pattern in (may_leak_pattern(adjectives), leak_pattern(adjectives)):
            places = found.arg_true()
            found = found.scatter(places, texts.gather(places).str.contains(pattern)) if len(places) else found
        return found

    return text.map_batches(look, return_dtype=pl.Boolean, is_elementwise=True)
