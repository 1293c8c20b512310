"""Whole numbers that stand for names, as `datasets` keeps the classes of a column."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from factory.readers.cells.reply_words import MARK_WORDS, in_words
from factory.readers.cells.values import looked_up


def by_name(frame: pl.LazyFrame, features: Mapping[str, Any]) -> pl.LazyFrame:
    """`frame` with words for a better or a good reply in place of the numbers that stand for them.

    `features`: column to what `datasets` knows of it; all other classes stay the numbers that they are.
    """
    made = []
    for name, dtype in frame.collect_schema().items():
        feature = features.get(name)
        names = feature.get("names") if isinstance(feature, Mapping) else getattr(feature, "names", None)
        if dtype.is_integer() and isinstance(names, list) and names and all(map(_is_verdict, names)):
            made.append(looked_up(pl.col(name), dict(enumerate(names)), pl.String()).alias(name))
    return frame.with_columns(made) if made else frame


def _is_verdict(called: object) -> bool:
    word = str(called).strip().lower()
    return word in MARK_WORDS or in_words(word) is not None


def features_in(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """What the metadata of a Parquet file that `datasets` wrote say of its columns; nothing where they say nothing."""
    try:
        features = json.loads(metadata["huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return features if isinstance(features, Mapping) else {}
