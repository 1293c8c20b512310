"""`duplicate`: one pair of those that say the same."""

from typing import ClassVar

import polars as pl
from pydantic import Field

from filters.base import ROW, Filter
from filters.text import normalise, normalised, prompt_text

_ORIGIN = ("iteration", "method", "source", "policy")
_RANK = ("pair_id", *_ORIGIN, ROW)
"""Whoever comes first in this order is kept: by content, then origin, and by place only among rows alike in both."""
_HASHES = pl.Struct({"hash_1": pl.UInt64, "hash_2": pl.UInt64})
"""128 bits, so that no two of ten million pairs share them by chance."""
_WEIGHTS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class Duplicate(Filter):
    """Keeps one of the pairs whose prompt, chosen and rejected are equal in NFKC with each run of whitespace one space.

    With `near`, also drops a pair whose words resemble those of a pair that is kept, by MinHash (datasketch): an
    estimate, in memory (about 3 kB per pair) and, at about 1 ms per pair and core, for sets up to a few millions.
    """

    name: ClassVar[str] = "duplicate"

    near: bool = False
    """Drop near-duplicates as well."""
    threshold: float = Field(0.8, gt=0, lt=1)
    """Jaccard similarity of the sets of word 5-grams from which pairs are near-duplicates."""
    num_perm: int = Field(128, ge=16, le=1024)
    """Permutations of a MinHash: more are more exact and slower."""

    def measures(self) -> dict[str, pl.Expr]:
        """A hash of the normalised pair, its origin, and its MinHash where near-duplicates matter."""
        texts = [prompt_text(), pl.col("chosen"), pl.col("rejected")]
        hashes = pl.struct(texts).map_batches(_hashes, return_dtype=_HASHES, is_elementwise=True)
        found = {"hashes": hashes, **{name: pl.col(name) for name in _ORIGIN}}
        if self.near:
            from filters.minhash import signature

            found["minhash"] = signature(pl.concat_str(map(normalised, texts), separator="\x1c"), self.num_perm)
        return found

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`exact` or `near`, with the pair_id that is kept instead as detail."""
        same = list(_HASHES.to_schema())
        rows = rows.with_columns(pl.col("hashes").struct.unnest())
        crowded = rows.group_by(same).len().filter(pl.col("len") > 1).select(same)
        alike = rows.select(*same, *_RANK).join(crowded, on=same, how="semi").sort(_RANK, nulls_last=True)
        first = alike.select(
            ROW, *(pl.col(name).first().over(same).alias(f"first_{name}") for name in (ROW, "pair_id"))
        )
        later = first.filter(pl.col(ROW) != pl.col(f"first_{ROW}"))
        exact = later.select(ROW, detail="first_pair_id", reason=pl.lit("exact"))
        if self.near:
            exact = pl.concat([exact, self._near(rows.join(exact, on=ROW, how="anti"))])
        return rows.join(exact, on=ROW, how="left")

    def _near(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        from filters.minhash import near_duplicates

        distinct = rows.select(*_RANK, "minhash").sort(_RANK, nulls_last=True).collect()
        return (
            near_duplicates(distinct, self.num_perm, self.threshold).lazy().select(ROW, "detail", reason=pl.lit("near"))
        )


def _hashes(pairs: pl.Series) -> pl.Series:
    """The hashes of a pair, from those of its normalised texts, each weighted by its place. Sums and products wrap."""
    texts = [normalise(texts) for texts in pairs.struct.unnest()]
    hashes = {
        name: sum(text.hash(seed) * weight for text, weight in zip(texts, _WEIGHTS, strict=True))
        for seed, name in enumerate(_HASHES.to_schema())
    }
    return pl.DataFrame(hashes).to_struct()
