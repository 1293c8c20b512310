"""Which pairs are among many: eight bytes a pair, where their ids take fifty."""

import numpy as np
import polars as pl


class IdSet:
    """The ids in the column pair_id of a table, as hashes of 64 bits, for counting.

    Of ten million ids two share a hash in one table of 370,000; a count is then one too high.
    """

    def __init__(self, rows: pl.LazyFrame) -> None:
        hashes = rows.select(pl.col("pair_id").hash()).collect(engine="streaming")["pair_id"]
        self._hashes = np.unique(hashes.to_numpy())

    def __len__(self) -> int:
        return len(self._hashes)

    def has(self, ids: pl.Series) -> pl.Series:
        """For each id whether it is among them."""
        if not len(self):
            return pl.repeat(False, len(ids), eager=True)
        # polars hashes with the same seeds in one process, which is as long as a set lives.
        asked = ids.hash().to_numpy()
        at = np.searchsorted(self._hashes, asked)
        return pl.Series(self._hashes[np.minimum(at, len(self) - 1)] == asked)
