"""The votes that filtered pairs, beside them."""

from pathlib import Path

import polars as pl

from factory.readers import PairsLike
from factory.readers.inputs.sources import as_list
from factory.schema import JUDGMENTS


def recorded_votes(pairs: PairsLike) -> pl.LazyFrame:
    """The votes that filtered the pairs, where filter wrote them: beside the funnel of a file, folder or run."""
    found = [JUDGMENTS.empty().lazy()]
    for given in as_list(pairs):
        if not isinstance(given, str | Path):
            continue
        path = Path(given)
        # Beside a funnel alone: a judgments.parquet in the user's own folder may be about anything.
        for folder in (path, path / "filtered", path.parent):
            if (folder / "funnel.json").is_file() and (folder / "judgments.parquet").is_file():
                found.append(pl.scan_parquet(folder / "judgments.parquet", glob=False))
                break
    return pl.concat([_conformed(table) for table in found])


def _conformed(votes: pl.LazyFrame) -> pl.LazyFrame:
    """The columns of JUDGMENTS, null where an older table has none."""
    there = votes.collect_schema()
    filled = votes.with_columns(pl.lit(None).alias(name) for name in JUDGMENTS.columns if name not in there)
    return filled.select(pl.col(name).cast(kind) for name, kind in JUDGMENTS.dtypes.items())
