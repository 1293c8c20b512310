"""Near-duplicates by MinHash and locality-sensitive hashing, on datasketch."""

from typing import Any

import numpy as np
import polars as pl
from datasketch import MinHash, MinHashLSH

from filters.base import ROW

SHINGLE = 5
"""Words per shingle; a shorter text is one shingle."""
_COARSEST, _WEIGHTS = 0.9, (0.1, 0.9)
"""The index only proposes, and what it proposes is compared: missing a pair is worse than proposing one too many."""


def signature(text: pl.Expr, num_perm: int) -> pl.Expr:
    """The MinHash of the text's word 5-grams, lower case, as the bytes of its `num_perm` values."""

    def batch(texts: pl.Series) -> pl.Series:
        empty = MinHash(num_perm=num_perm)
        return pl.Series([_signature(text, empty) for text in texts], dtype=pl.Binary)

    return text.str.to_lowercase().map_batches(batch, return_dtype=pl.Binary, is_elementwise=True)


def _signature(text: str, empty: Any) -> bytes:
    words = text.split()
    last = max(1, len(words) - SHINGLE + 1)
    made = empty.copy()
    made.update_batch({" ".join(words[start : start + SHINGLE]).encode() for start in range(last)})
    return bytes(made.hashvalues.tobytes())


def near_duplicates(rows: pl.DataFrame, num_perm: int, threshold: float) -> pl.DataFrame:
    """[row, detail] of the rows that resemble an earlier row which is kept; the detail is that one's pair_id.

    `rows` has row, pair_id and minhash. They are taken in the order given, so give them in one that content decides.
    """
    dropped: dict[str, list[Any]] = {ROW: [], "detail": []}
    kept: dict[int, tuple[str, Any]] = {}
    index = MinHashLSH(threshold=min(threshold, _COARSEST), num_perm=num_perm, weights=_WEIGHTS)
    empty = MinHash(num_perm=num_perm)
    for row, pair_id, raw in rows.select(ROW, "pair_id", "minhash").iter_rows():
        sketch = empty.copy()
        sketch.hashvalues = np.frombuffer(raw, dtype=empty.hashvalues.dtype)
        close = [kept[near] for near in index.query(sketch) if kept[near][1].jaccard(sketch) >= threshold]
        if close:
            dropped[ROW].append(row)
            dropped["detail"].append(min(pair_id for pair_id, _ in close))
        else:
            index.insert(row, sketch)
            kept[row] = (pair_id, sketch)
    return pl.DataFrame(dropped, schema={ROW: rows.schema[ROW], "detail": pl.String})
