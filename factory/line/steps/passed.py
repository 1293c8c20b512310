"""How many pairs pass the filters after a round: on record, since the next round's filtering replaces this one's."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from factory.line.steps import Facts, Generated, Steps
from factory.line.steps.filter import inputs as filtered_by
from factory.store import Workspace


def inputs(steps: Steps, made: Sequence[Generated], round_: int) -> Facts:
    """What decides which pairs are kept."""
    return filtered_by(steps, made)


def make(steps: Steps, work: Workspace, made: Sequence[Generated], round_: int) -> dict[str, Any]:
    """Facts alone: kept pairs, the latest iteration among them, and what judging took."""
    filtered = steps.make("filter", made)
    # The latest iteration with a pair that passes tells how many rounds have added none.
    kept = pl.scan_parquet(filtered.folder / "kept.parquet", glob=False).select("iteration").collect()["iteration"]
    return {"rows": len(kept), "latest": kept.max() or 0, "judging": filtered.used}
