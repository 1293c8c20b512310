"""The contract of a filter: measure each row once, then decide on the measures alone.

A filter is a frozen configuration block with two methods. `measures` are row-wise expressions over the pair columns;
all filters' measures are computed together in one streaming pass over the texts. `reason` then works on the narrow
table of measures, among the rows that earlier filters kept, and so may look at other rows (duplicates, balance).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import polars as pl

from factory.strict import Strict
from filters.pair_words import WordMeasure

ROW = "row"
"""Column of the narrow table that tells rows apart: pair ids may repeat in an input, row numbers do not."""

KEPT = pl.lit(None, dtype=pl.String)
"""The reason of a row that is kept."""


class Look(NamedTuple):
    """What a filter has that must see the texts of a few rows again."""

    at: Callable[[pl.Series], pl.LazyFrame]
    """Reads the rows of these numbers: their SCORES columns and `row`."""
    scratch: Path
    """A folder for what it cannot hold in memory, which is removed after the funnel."""


class Filter(Strict):
    """One filter; its fields are its options in `{use: name, …}`."""

    name: ClassVar[str]
    """What `use` calls it, and the `filter` column of what it rejects."""
    reasons: ClassVar[Mapping[str, str]]
    """Every token that `reason` can give, and what it means."""

    @property
    def needs_votes(self) -> bool:
        """True where `reason` reads the columns that `filters.votes.join` adds."""
        return False

    @property
    def numbers(self) -> dict[str, bool]:
        """Columns of numbers beyond SCORES that `measures` reads, by whether they must be there; null if absent."""
        return {}

    @property
    def looks_at(self) -> tuple[str, ...]:
        """Columns of pairs of which it needs one, or keeps every pair; people are told where there is none."""
        return ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people are to know before it works, a line each, such as how the files it reads were read."""
        return ()

    def measures(self) -> dict[str, pl.Expr]:
        """Row-wise expressions over SCORES and `numbers`, by name; row, pair_id, prompt_id are there anyway."""
        return {}

    def word_measures(self) -> dict[str, WordMeasure]:
        """Measures, by name, of the words of each pair, which are looked for once for all filters."""
        return {}

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`rows` (one per live pair) with a column `reason`: null keeps the pair, a short token drops it.

        May also set `detail`, free text that says what exactly; on a kept row it is a flag, and `flag` a short token of
        what kind. Never changes the number of rows, and decides the same whatever their order.
        """
        raise NotImplementedError

    def decide(self, rows: pl.LazyFrame, look: Look) -> pl.LazyFrame:
        """`reason`, of a filter that needs to `look` at the texts of a few rows again."""
        return self.reason(rows)

    def fingerprint(self) -> dict[str, Any]:
        """What decides this filter's outcome: its name, its options and the contents of the files it reads."""
        return {"use": self.name, **self.model_dump(mode="json")}


def first_of(*cases: tuple[pl.Expr, str]) -> pl.Expr:
    """The token of the first condition that holds, null where none does; a null condition does not hold."""
    # `when` takes a null for false, so that a measure which is missing gives no reason.
    return pl.coalesce(*(pl.when(condition).then(pl.lit(token)) for condition, token in cases), KEPT)


def either_reply(chosen: pl.Expr, rejected: pl.Expr, token: str) -> pl.Expr:
    """`both_<token>`, `chosen_<token>` or `rejected_<token>` for what is true of the replies, null for neither."""
    return first_of((chosen & rejected, f"both_{token}"), (chosen, f"chosen_{token}"), (rejected, f"rejected_{token}"))


def among(seen: Mapping[str, pl.Expr], token: str) -> pl.Expr:
    """`either_reply`, of those replies alone that a filter looks at."""
    never = pl.lit(False)
    return either_reply(seen.get("chosen", never), seen.get("rejected", never), token)


def sided(token: str, meaning: str) -> dict[str, str]:
    """What the tokens of `either_reply` mean."""
    who = {"both": "each reply", "chosen": "the chosen reply", "rejected": "the rejected reply"}
    return {f"{side}_{token}": f"{name} {meaning}" for side, name in who.items()}
