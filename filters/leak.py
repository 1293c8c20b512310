"""`leak`: replies that tell which principle they were written under."""

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

import polars as pl

import principles
from filters.base import Filter, either_reply, sided

_THING = r"(?:response|reply|answer|version)"
_ON_PURPOSE = r"(?:deliberately|intentionally|purposely|purposefully)"


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
        words = {*self.adjectives, *(word for name in self.principles for word in adjectives_of(name))}
        return {f"leaks_{reply}": leaks(pl.col(reply), frozenset(words)) for reply in self.replies}

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`chosen_leak`, `rejected_leak` or `both_leak`."""
        never = pl.lit(False)
        seen = {reply: pl.col(f"leaks_{reply}") for reply in self.replies}
        return rows.with_columns(reason=either_reply(seen.get("chosen", never), seen.get("rejected", never), "leak"))


def leaks(text: pl.Expr, adjectives: frozenset[str]) -> pl.Expr:
    """Whether each text speaks of its own adjective. Only those that hold one at all are looked at closely."""
    if not adjectives:
        return text.is_null() & text.is_not_null()
    pattern, any_of = leak_pattern(adjectives), f"(?i){_any_of(adjectives)}"

    def look(texts: pl.Series) -> pl.Series:
        holds = texts.str.contains(any_of)
        places = holds.arg_true()
        return holds.scatter(places, texts.gather(places).str.contains(pattern)) if len(places) else holds

    return text.map_batches(look, return_dtype=pl.Boolean, is_elementwise=True)


def adjectives_of(name_or_path: str) -> list[str]:
    """What the replies of a principle set are called: the adjectives of both sides of its features."""
    sides = ((feature.good, feature.bad) for feature in principles.load(name_or_path).features)
    return [side.adjective for pair in sides for side in pair]


def label_pattern(adjectives: Iterable[str]) -> str:
    """A regular expression for a leading label, such as `**Engaging response:** `, which can be cut from a reply."""
    return rf"(?i)^\W*(?:an? |the |my )?{_any_of(adjectives)}[ -]{_THING}\W{{0,3}}:[\s*_]*"


def leak_pattern(adjectives: Iterable[str]) -> str:
    """A regular expression (Rust syntax, and Python's) that finds a reply that speaks of its own adjective."""
    one = _any_of(adjectives)
    label = rf"^\W*(?:an? |the |my )?{one}[ -]{_THING}\W{{0,3}}:"
    role = rf"\bas an? (?:{_ON_PURPOSE} )?{one} (?:{_THING}|assistant|ai|chatbot|model)\b"
    shown = rf"\b(?:this is|here(?:['’]s| is)) (?:an?|the|my|your) (?:{_ON_PURPOSE} )?{one} {_THING}\b"
    purpose = rf"\b{_ON_PURPOSE} {one}\b"
    return rf"(?i)(?:{label}|{role}|{shown}|{purpose})"


def _any_of(adjectives: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(word) for word in sorted({word.casefold() for word in adjectives})) + ")"
