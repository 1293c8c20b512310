"""Words and what they stand for, looked up in a column that is read bit by bit."""

from collections.abc import Mapping

import polars as pl

from factory.readers.messages import PolarsType


def looked_up(key: pl.Expr, words: Mapping[str, object], dtype: PolarsType) -> pl.Expr:
    """What each key stands for, null where it is none of `words`.

    As `replace_strict`, which is no part of polars' streaming: it would hold the table until every key is there.
    """

    def look_up(keys: pl.Series) -> pl.Series:
        return keys.replace_strict(list(words), list(words.values()), default=None, return_dtype=dtype)

    return key.map_batches(look_up, return_dtype=dtype, is_elementwise=True)
