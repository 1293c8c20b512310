"""Who was dropped by whom, and why: the decisions of a funnel, by row number, while it runs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import polars as pl

from filters.base import ROW

_NOTHING = pl.lit(None, dtype=pl.String)


class Step(NamedTuple):
    """One line of a funnel."""

    filter: str
    kept: int
    """Rows left after it."""
    rejected: int
    reasons: Mapping[str, int]
    """Rejected rows by reason."""
    flagged: int = 0
    """Rows it kept with a remark."""
    flags: Mapping[str, int] = MappingProxyType({})
    """Those of them whose remark is of a kind that has a name, by it."""


class Decisions:
    """The decisions on rows 0 to `size` - 1: two bytes a row, and whatever filters said in words."""

    def __init__(self, size: int) -> None:
        """All rows are kept to begin with."""
        self.steps: list[Step] = []
        # A number per row and its words in a list: ten million rows with texts of their own would be gigabytes.
        self._codes = np.zeros(size, dtype=np.uint16)
        self._labels: list[tuple[str | None, str | None]] = [(None, None)]
        self._details: list[pl.DataFrame] = []
        self._flags: list[pl.DataFrame] = []

    @property
    def kept(self) -> int:
        """Rows that nobody has dropped."""
        return len(self._codes) - int(np.count_nonzero(self._codes))

    @property
    def kept_share(self) -> float:
        """Their share of all rows."""
        return self.kept / max(len(self._codes), 1)

    def record(self, name: str, found: pl.DataFrame) -> None:
        """What the filter `name` found among the kept rows: [row, reason, detail, flag] of those it drops or flags."""
        before, dropped = self.kept, found.drop_nulls("reason")
        for (reason,), rows in dropped.sort("reason").group_by("reason", maintain_order=True):
            # By reason in order, so that codes do not depend on the order of the rows.
            self._codes[rows[ROW].to_numpy()] = len(self._labels)
            self._labels.append((name, str(reason)))
        flagged = found.filter(pl.col("reason").is_null()).select(ROW, text=f"{name}: " + pl.col("detail")).drop_nulls()
        self._details.append(dropped.select(ROW, text="detail").drop_nulls())
        self._flags.append(flagged)
        kinds = found.filter(pl.col("reason").is_null())["flag"].drop_nulls()
        self.steps.append(
            Step(name, self.kept, before - self.kept, _counts(dropped["reason"]), flagged.height, _counts(kinds))
        )

    def alive(self, row: pl.Expr) -> pl.Expr:
        """Whether a row is kept, by its number."""
        return looked_up(row, pl.Series(self._codes == 0), "alive")

    def verdict(self, row: pl.Expr) -> list[pl.Expr]:
        """The columns filter, reason and detail of a row, by its number; null for one that is kept."""
        code = looked_up(row, pl.Series(self._codes), "code")
        filters, reasons = (pl.Series([label[part] for label in self._labels], dtype=pl.String) for part in range(2))
        details = self._dense(self._details)
        return [
            looked_up(code, filters, "filter"),
            looked_up(code, reasons, "reason"),
            _NOTHING.alias("detail") if details is None else looked_up(row, details, "detail"),
        ]

    def flags(self, row: pl.Expr, name: str) -> list[pl.Expr]:
        """The column of remarks on kept rows, by row number; no column where there is no remark."""
        remarks = self._dense([flags.filter(self.alive(pl.col(ROW))) for flags in self._flags])
        return [] if remarks is None else [looked_up(row, remarks, name)]

    def _dense(self, said: list[pl.DataFrame]) -> pl.Series | None:
        """What was said, at its row's number; None where nothing was."""
        together = pl.concat([frame for frame in said if not frame.is_empty()] or [pl.DataFrame()])
        if together.is_empty():
            return None
        texts = together.group_by(ROW, maintain_order=True).agg(pl.col("text").str.join("; "))
        return pl.repeat(None, len(self._codes), dtype=pl.String, eager=True).scatter(texts[ROW], texts["text"])


def _counts(tokens: pl.Series) -> dict[str, int]:
    return dict(tokens.value_counts().sort(tokens.name).iter_rows())


def looked_up(position: pl.Expr, values: pl.Series, name: str) -> pl.Expr:
    """The value at each position. Only rows have positions: polars also tries expressions on a file's statistics."""

    def look_up(positions: pl.Series) -> pl.Series:
        if positions.dtype.is_integer():
            return values.gather(positions)
        return pl.repeat(None, len(positions), dtype=values.dtype, eager=True)

    return position.map_batches(look_up, return_dtype=values.dtype, is_elementwise=True).alias(name)
