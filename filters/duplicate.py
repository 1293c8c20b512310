"""`duplicate`: one pair of those that say the same."""

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from filters.base import ROW, Filter
from filters.text import normalise, normalised, prompt_text

_ORIGIN = ("iteration", "method", "source", "policy")
_RANK = ("pair_id", *_ORIGIN, ROW)
"""Whoever comes first in this order is kept: by content, then origin, and by place only among rows alike in both."""
_SAME = ("hash_1", "hash_2")
"""128 bits, so that no two of ten million pairs share them by chance."""
_HASHES = pl.Struct({**dict.fromkeys(_SAME, pl.UInt64), "turned": pl.UInt64})
"""`turned` is the same for a pair and for the one with its replies in each other's place."""
_WEIGHTS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class Duplicate(Filter):
    """Keeps one of the pairs whose prompt, chosen and rejected are equal in NFKC with each run of whitespace one space.

    Pairs that contradict each other, the same two replies preferred both ways, are counted and flagged, or both
    dropped. With `near`, also drops a pair whose words resemble those of a pair that is kept, by MinHash (datasketch):
    an estimate, in memory (about 3 kB per pair) and, at about 1 ms per pair and core, for sets up to a few millions.
    """

    name: ClassVar[str] = "duplicate"

    contradictions: Literal["keep", "drop"] = "keep"
    """What to do with two pairs of which one prefers the reply that the other rejects, for the same prompt: keep both
    with a flag, as a judge may settle it, or drop both."""
    near: bool = False
    """Drop near-duplicates as well."""
    threshold: float = Field(0.8, gt=0, lt=1)
    """Jaccard similarity of the sets of word 5-grams from which pairs are near-duplicates."""
    num_perm: int = Field(128, ge=16, le=1024)
    """Permutations of a MinHash: more are more exact and slower."""

    def measures(self) -> dict[str, pl.Expr]:
        """Hashes of the normalised pair, its origin, and its MinHash where near-duplicates matter."""
        texts = [prompt_text(), pl.col("chosen"), pl.col("rejected")]
        hashes = pl.struct(texts).map_batches(_hashes, return_dtype=_HASHES, is_elementwise=True)
        found = {"hashes": hashes, **{name: pl.col(name) for name in _ORIGIN}}
        if self.near:
            from filters.minhash import signature

            found["minhash"] = signature(pl.concat_str(map(normalised, texts), separator="\x1c"), self.num_perm)
        return found

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`exact` or `near`, with the pair_id that is kept instead as detail; `contradiction`, with that of the other.

        A contradiction that is kept has the flag `contradiction`.
        """
        rows = rows.with_columns(pl.col("hashes").struct.unnest())
        exact = _exact(rows)
        found = [exact, self._contradictions(rows.join(exact, on=ROW, how="anti"))]
        if self.near:
            dropped = pl.concat([one.filter(pl.col("reason").is_not_null()) for one in found], how="diagonal")
            near = self._near(rows.join(dropped, on=ROW, how="anti"))
            found = [exact, found[1].join(near, on=ROW, how="anti"), near]
        return rows.join(pl.concat(found, how="diagonal"), on=ROW, how="left")

    def _contradictions(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """[row, detail, reason or flag] of pairs that contradict another; exact duplicates are gone."""
        crowded = rows.group_by("turned").len().filter(pl.col("len") > 1)
        both = rows.select(ROW, "pair_id", "turned").join(crowded, on="turned", how="semi")
        ids = pl.col("pair_id")
        other = pl.when(ids == ids.min()).then(ids.max()).otherwise(ids.min()).over("turned")
        if self.contradictions == "drop":
            return both.select(ROW, detail=other, reason=pl.lit("contradiction"))
        detail = pl.format("contradicts {}", other)
        return both.select(ROW, detail=detail, reason=pl.lit(None, pl.String), flag=pl.lit("contradiction"))

    def _near(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        from filters.minhash import near_duplicates

        distinct = rows.select(*_RANK, "minhash").sort(_RANK, nulls_last=True).collect()
        return (
            near_duplicates(distinct, self.num_perm, self.threshold).lazy().select(ROW, "detail", reason=pl.lit("near"))
        )


def _exact(rows: pl.LazyFrame) -> pl.LazyFrame:
    """[row, detail, reason] of every pair that is equal to one before it."""
    crowded = rows.group_by(_SAME).len().filter(pl.col("len") > 1).select(_SAME)
    alike = rows.select(*_SAME, *_RANK).join(crowded, on=_SAME, how="semi").sort(_RANK, nulls_last=True)
    first = alike.select(ROW, *(pl.col(name).first().over(_SAME).alias(f"first_{name}") for name in (ROW, "pair_id")))
    later = first.filter(pl.col(ROW) != pl.col(f"first_{ROW}"))
    return later.select(ROW, detail="first_pair_id", reason=pl.lit("exact"))


def _hashes(pairs: pl.Series) -> pl.Series:
    """Hashes of a pair from those of its normalised texts, each weighted by its place. Sums and products wrap."""
    texts = [normalise(texts) for texts in pairs.struct.unnest()]
    hashes = {
        name: sum(text.hash(seed) * weight for text, weight in zip(texts, _WEIGHTS, strict=True))
        for seed, name in enumerate(_SAME)
    }
    prompt, *replies = (text.hash(len(_SAME)) for text in texts)
    return pl.DataFrame({**hashes, "turned": prompt * _WEIGHTS[0] + replies[0] + replies[1]}).to_struct()
