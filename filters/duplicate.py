"""`duplicate`: one pair of those that say the same."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from filters.base import ROW, Filter, Look
from filters.pair_words import WordMeasure, measured
from filters.text import normalise, prompt_text

_ORIGIN = ("iteration", "method", "source", "policy")
_RANK = ("pair_id", *_ORIGIN, ROW)
"""Whoever comes first in this order is kept: by content, then origin, and by place only among rows alike in both."""
_SAME = ("hash_1", "hash_2")
"""128 bits, so that no two of ten million pairs share them by chance."""
_HASHES = pl.Struct({**dict.fromkeys(_SAME, pl.UInt64), "turned": pl.UInt64})
"""`turned` is the same for a pair and for the one with its replies in each other's place."""
_BATCH = 1_000
_WEIGHTS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class Duplicate(Filter):
    """Keeps one of the pairs whose prompt, chosen and rejected are equal in NFKC with each run of whitespace one space.

    Pairs that contradict each other, the same two replies preferred both ways, are counted and flagged, or both
    dropped. With `near`, also drops a pair whose words resemble those of a pair that is kept: candidates by MinHash
    (rensa), verified by the true Jaccard similarity; see `filters.near`.
    """

    name: ClassVar[str] = "duplicate"
    reasons: ClassVar[Mapping[str, str]] = {
        "exact": "an earlier pair says the same in prompt, chosen and rejected; the detail is its id",
        "near": "an earlier pair says nearly the same (MinHash)",
        "contradiction": "another pair prefers the reply that this one rejects, for the same prompt",
    }

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
        """Hashes of the normalised pair, and its origin."""
        texts = [prompt_text(), pl.col("chosen"), pl.col("rejected")]
        hashes = pl.struct(texts).map_batches(_hashes, return_dtype=_HASHES, is_elementwise=True)
        return {"hashes": hashes, **{name: pl.col(name) for name in _ORIGIN}}

    def word_measures(self) -> dict[str, WordMeasure]:
        """Its MinHash, where near-duplicates matter."""
        if not self.near:
            return {}
        from filters.near.sketches import sketch

        return {"sketch": sketch(self.threshold, self.num_perm)}

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`exact`, with the pair_id that is kept instead as detail; `contradiction`, with that of the other.

        A contradiction that is kept has the flag `contradiction`.
        """
        return rows.join(self._found(rows), on=ROW, how="left")

    def decide(self, rows: pl.LazyFrame, look: Look) -> pl.LazyFrame:
        """`reason`, and `near` with the pair_id that is kept instead."""
        if not self.near:
            return self.reason(rows)
        # Collected, as it is used three times below, and a lazy plan would be computed for each.
        found = self._found(rows).collect().lazy()
        dropped = found.filter(pl.col("reason").is_not_null())
        near = self._near(rows.join(dropped, on=ROW, how="anti"), look).lazy()
        found = pl.concat([found.join(near, on=ROW, how="anti"), near], how="diagonal")
        return rows.join(found, on=ROW, how="left")

    def _found(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """[row, detail, reason, flag] of exact duplicates and contradictions."""
        rows = rows.with_columns(pl.col("hashes").struct.unnest())
        exact = _exact(rows)
        distinct = rows.join(exact, on=ROW, how="anti")
        return pl.concat([exact, self._contradictions(distinct)], how="diagonal")

    def _near(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        """[row, detail, reason] of near-duplicates."""
        from filters.near.candidates import SketchTable, candidates
        from filters.near.sketches import SHINGLE_SETS
        from filters.near.verified import SetFile, resembled

        order = _by_rank(rows)
        table = SketchTable(rows, order)
        edges = candidates(table, self.threshold, self.num_perm)
        wanted = edges.rows()
        seen = look.at(order.gather(wanted)).select(ROW, measured({"sets": SHINGLE_SETS}).struct.unnest())
        with SetFile(look.scratch / "shingles", wanted) as sets:
            for batch in seen.collect_batches(chunk_size=_BATCH, engine="streaming"):
                sets.add(table.places(batch[ROW]), batch["sets"])
            found = resembled(edges, sets, self.threshold)
        pairs = pl.DataFrame({ROW: order.gather(list(found)), "kept": order.gather(list(found.values()))})
        named = rows.select("pair_id", kept=ROW).join(pairs.lazy(), on="kept")
        return named.select(ROW, detail="pair_id", reason=pl.lit("near")).collect(engine="streaming")

    def _contradictions(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """[row, detail, reason or flag] of pairs that contradict another; exact duplicates are gone."""
        crowded = rows.group_by("turned").len().filter(pl.col("len") > 1)
        both = rows.select(ROW, "pair_id", "turned").join(crowded, on="turned", how="semi")
        ids = pl.col("pair_id")
        # Of two it is the other one; of more, the first, and for the first the last: a name to look up, not all of
        # them.
        other = pl.when(ids == ids.min()).then(ids.max()).otherwise(ids.min()).over("turned")
        if self.contradictions == "drop":
            return both.select(ROW, detail=other, reason=pl.lit("contradiction"))
        detail = pl.concat_str(pl.lit("contradicts "), other)
        return both.select(ROW, detail=detail, reason=pl.lit(None, pl.String), flag=pl.lit("contradiction"))


def _exact(rows: pl.LazyFrame) -> pl.LazyFrame:
    """[row, detail, reason] of every pair that is equal to one before it."""
    crowded = rows.group_by(_SAME).len().filter(pl.col("len") > 1).select(_SAME)
    # Only what occurs twice is sorted: of millions that is little, and a window over all of them would hold everything.
    alike = rows.select(*_SAME, *_RANK).join(crowded, on=_SAME, how="semi").sort(_RANK, nulls_last=True)
    first = alike.select(ROW, *(pl.col(name).first().over(_SAME).alias(f"first_{name}") for name in (ROW, "pair_id")))
    later = first.filter(pl.col(ROW) != pl.col(f"first_{ROW}"))
    return later.select(ROW, detail="first_pair_id", reason=pl.lit("exact"))


def _by_rank(rows: pl.LazyFrame) -> pl.Series:
    """The numbers of the rows in the order of _RANK."""
    # By their ids, which are nearly always different; all of _RANK, of millions, would be twice as much to hold.
    ids = rows.select(ROW, "pair_id").collect(engine="streaming")
    order = ids["pair_id"].arg_sort()
    again = ids["pair_id"].gather(order).rle_id().is_duplicated()
    numbers = ids[ROW].gather(order)
    alike = rows.join(numbers.filter(again).to_frame().lazy(), on=ROW, how="semi").select(_RANK)
    return numbers.scatter(again.arg_true(), alike.sort(_RANK, nulls_last=True).collect()[ROW])


def _hashes(pairs: pl.Series) -> pl.Series:
    """Hashes of a pair from those of its normalised texts, each weighted by its place. Sums and products wrap."""
    # All texts as one series: what polars does before and after each step takes longer than the step on a few rows.
    texts = normalise(pl.concat(pairs.struct.unnest(), rechunk=True))
    # Hashes of the single texts, combined, since a hash of all as one text would need it in memory once more.
    hashes = [_thirds(texts.hash(seed), len(pairs)) for seed in range(len(_SAME))]
    weighed = (sum(one * weight for one, weight in zip(each, _WEIGHTS, strict=True)) for each in hashes)
    prompt, *replies = hashes[0]
    # A sum without weights, which is the same whichever reply comes first.
    turned = prompt * _WEIGHTS[0] + replies[0] + replies[1]
    return pl.DataFrame({**dict(zip(_SAME, weighed, strict=True)), "turned": turned}).to_struct()


def _thirds(values: pl.Series, size: int) -> list[pl.Series]:
    return [values.slice(at * size, size) for at in range(len(_WEIGHTS))]
