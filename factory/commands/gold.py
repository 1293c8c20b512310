"""Where people's labels are read from: a column of the pairs, one that their layout used up, or a file of answers."""

import polars as pl

from factory.readers import How, PairsLike
from factory.readers.detection import detect_layouts
from factory.readers.inputs.sources import open_inputs
from factory.readers.names import Columns
from factory.stages.gold import CHOSEN, from_answers, from_column, is_file


def read_gold(gold: str, pairs: pl.LazyFrame, given: PairsLike, how: How | None = None) -> pl.DataFrame:
    """[pair_id, gold: chosen, rejected or tie] from `gold`: a file, or a column of `pairs`, which come from `given`.

    A column by which the reader told chosen from rejected says chosen of every pair. InputError for what is neither.
    """
    if is_file(gold):
        answers = pl.concat([frame for opened in open_inputs(gold) for frame in opened.frames], how="diagonal_relaxed")
        return from_answers(answers.collect(), gold)
    if gold in _deciding(given, how or How()):
        return pairs.select("pair_id", gold=pl.lit(CHOSEN)).collect(engine="streaming")
    schema = pairs.collect_schema()
    # `from_column` says what is wrong, and which columns there are: of a table without rows, to read none for it.
    if gold not in schema:
        return from_column(pl.DataFrame(schema=schema), gold)
    return from_column(pairs.select(list(dict.fromkeys(("pair_id", gold)))).collect(engine="streaming"), gold)


def _deciding(given: PairsLike, how: How) -> set[str]:
    """The columns of the files that named the chosen reply: what they say is of the replies as the file has them."""
    found: set[str] = set()
    for claim in (claim for opened in open_inputs(given) for claim in detect_layouts(opened.frames, how)):
        if claim.layout is not None:
            shaped = claim.layout.reshape and claim.layout.reshape(claim.rows, claim.columns, how)
            columns = Columns(shaped.rows.collect_schema(), how.columns) if shaped else claim.columns
            found.update(claim.layout.parts(columns).columns.get("label", ()))
    return found
