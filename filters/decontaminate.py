"""`decontaminate`: pairs that share text with a benchmark's prompts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
from pydantic import Field, field_validator

from factory.files.rows import suffix_of
from factory.identity import digest
from filters.base import KEPT, Filter
from filters.benchmarks import SUFFIXES, BenchmarkPrompt, read
from filters.overlap import Overlap
from filters.pair_words import PLACES, SYSTEM, PairWords, WordMeasure

_HIT = pl.Struct({"reason": pl.String, "detail": pl.String})


class Decontaminate(Filter):
    """Drops pairs that share text with a benchmark prompt, in any turn of their prompt or any reply, and flags others.

    Compared are words, lower case in NFKC. Dropped: a turn or reply that is a benchmark prompt (`exact`), shares any 13
    words in a row with one (`13_gram`), or holds over half of one's 8-grams (`8_grams`). A benchmark prompt shorter
    than 13 words also drops the pairs in which all of it stands, in a row (`whole`), but one shorter than `min_words`
    only those in which it is exact. Flagged, and kept: any 7 words in a row.
    """

    name: ClassVar[str] = "decontaminate"
    reasons: ClassVar[Mapping[str, str]] = {
        "exact": "a turn or reply is a benchmark prompt",
        "13_gram": "13 words in a row are those of a benchmark prompt",
        "8_grams": "over half of a benchmark prompt's runs of 8 words are there",
        "whole": "all of a short benchmark prompt stands in a turn or reply",
    }

    files: tuple[str, ...] = Field(min_length=1)
    """Prompt files of benchmarks: Parquet, JSONL, JSON or CSV with a column of prompts; text, a prompt per line."""
    min_words: int = Field(3, ge=1)
    """Benchmark prompts with fewer words than this, such as "Hello", count only as the whole of a turn or reply."""

    @field_validator("files", mode="before")
    @classmethod
    def _one_file(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("files")
    @classmethod
    def _there(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for path in value:
            if not Path(path).is_file():
                raise ValueError(f"there is no file {path}")
            if suffix_of(Path(path)) not in SUFFIXES:
                raise ValueError(f"{path} is none of {', '.join(SUFFIXES)}")
        return value

    @property
    def remarks(self) -> tuple[str, ...]:
        """How each file was read."""
        return tuple(str(read(path)) for path in self.files)

    def fingerprint(self) -> dict[str, Any]:
        """Name, options and the prompts themselves."""
        # What is in the files, not where they lie: a benchmark that was moved decides the same.
        return {**super().fingerprint(), "prompts": digest([list(item) for item in self._items()])}

    def word_measures(self) -> dict[str, WordMeasure]:
        """The hit itself, if any: it depends on one row alone. Reads the files."""
        overlap = Overlap(self._items(), self.min_words)
        return {"hit": WordMeasure(_HIT, lambda some: _hits(some, overlap))}

    def _items(self) -> list[BenchmarkPrompt]:
        return [item for path in self.files for item in read(path).items]

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`exact`, `13_gram`, `8_grams` or `whole`, and the flag `7_gram` on a pair that is kept.

        The detail says which benchmark prompt was hit, and where.
        """
        hit = pl.col("hit").struct
        flagged = hit.field("reason").is_null() & hit.field("detail").is_not_null()
        reason = pl.coalesce(hit.field("reason"), KEPT)
        flag = pl.when(flagged).then(pl.lit("7_gram"))
        return rows.with_columns(reason=reason, detail=hit.field("detail"), flag=flag)


def _hits(some: PairWords, overlap: Overlap) -> pl.Series:
    """The worst hit of each pair, over its turns and replies; of equals the first."""
    found: dict[str, list[str | None]] = {name: [None] * some.pairs for name in ("reason", "detail")}
    worst: dict[int, int] = {}
    for text, hit in overlap.hits(some.texts, some.words):
        pair = int(some.pair[text])
        if pair not in worst or hit.severity < worst[pair]:
            worst[pair] = hit.severity
            place = PLACES[some.place[text] % SYSTEM]
            found["reason"][pair], found["detail"][pair] = hit.reason, f"{hit.item} in {place}: {hit.words}"
    return pl.DataFrame(found, schema=dict.fromkeys(found, pl.String)).to_struct()
