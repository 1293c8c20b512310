"""Where people's labels are read from: a column of the pairs, one that their layout used up, or a file of answers."""

from collections.abc import Sequence

import polars as pl

from factory.readers import PairsLike
from factory.readers.sources import open_inputs
from factory.stages.gold import CHOSEN, from_answers, from_column, is_file

_LONGEST_VERDICT = 16
"""What says which reply is better is a number or a word; anything longer is a text."""


def read_gold(gold: str, pairs: pl.LazyFrame, given: PairsLike | Sequence[PairsLike]) -> pl.DataFrame:
    """[pair_id, gold: chosen, rejected or tie] from `gold`: a file, or a column of `pairs`, which come from `given`.

    A column that the reader made chosen and rejected of says chosen of every pair. InputError for what is neither.
    """
    if is_file(gold):
        answers = pl.concat([frame for opened in open_inputs(gold) for frame in opened.frames], how="diagonal_relaxed")
        return from_answers(answers.collect(), gold)
    schema = pairs.collect_schema()
    if gold in schema:
        return from_column(pairs.select(list(dict.fromkeys(("pair_id", gold)))).collect(engine="streaming"), gold)
    if _decided(gold, given):
        return pairs.select("pair_id", gold=pl.lit(CHOSEN)).collect(engine="streaming")
    return from_column(pl.DataFrame(schema=schema), gold)


def _decided(column: str, given: PairsLike | Sequence[PairsLike]) -> bool:
    """Whether the files have this column, and it holds a verdict: then it is what named the chosen reply."""
    found = [
        frame.select(column) for opened in open_inputs(given) for frame in opened.frames if column in _names(frame)
    ]
    texts = [frame.select(pl.col(column).cast(pl.String, strict=False).str.len_chars().max()) for frame in found]
    return bool(texts) and all((one.collect().item() or 0) <= _LONGEST_VERDICT for one in texts)


def _names(frame: pl.LazyFrame) -> list[str]:
    return frame.collect_schema().names()
