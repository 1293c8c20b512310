"""Labels that people gave: which reply of a pair is better, from a column of the pairs or from a table of answers."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from factory.errors import InputError

CHOSEN, REJECTED, TIE = "chosen", "rejected", "tie"
_ANSWERS = dict.fromkeys((CHOSEN, "1", "1.0"), CHOSEN) | dict.fromkeys((REJECTED, "2", "2.0"), REJECTED) | {TIE: TIE}
RIGHT = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
"""What a cell of a column `right` may say, wherever one is read; anything else is refused."""
_SKIPPED = "skip"
FILES = (".parquet", ".csv", ".jsonl", ".json", ".gz", ".zst")
"""How the name of a file of answers ends; any other name is a column's."""


def is_file(gold: str) -> bool:
    """Whether `gold` names a file of answers, and not a column of the pairs."""
    return gold.casefold().endswith(FILES) or Path(gold).is_file()


def from_column(pairs: pl.DataFrame, column: str) -> pl.DataFrame:
    """[pair_id, gold]: the labels in a column of the pairs; InputError where there is none, or a label is none."""
    if column not in pairs.columns:
        raise InputError(f"the pairs have no column {column} for gold labels; they have {', '.join(pairs.columns)}")
    read = _right if column == "right" else _read
    labels = read(pairs[column], f"the gold column {column}")
    return pairs.select("pair_id", gold=labels).drop_nulls()


def from_answers(answers: pl.DataFrame, where: str) -> pl.DataFrame:
    """[pair_id, gold], one row a pair, from rows of pair_id, label (or right) and, where there are several, annotator.

    A label is chosen or rejected (or 1 or 2), tie or skip; right is true or false. Of a person's answers on a pair the
    last counts, skipped ones are none; between people more than half decide, and what none of the two replies gets
    more than half of is a tie: the reply called chosen is not better.
    """
    column = next((name for name in ("label", "right") if name in answers.columns), None)
    if column is None or "pair_id" not in answers.columns:
        raise InputError(f"{where}: labels need the columns pair_id and label, or right; it has {answers.columns}")
    read = _read if column == "label" else _right
    labels = read(answers[column], f"the column {column} of {where}")
    who = pl.col("annotator").cast(pl.String) if "annotator" in answers.columns else pl.lit(None, pl.String)
    answers = answers.with_columns(as_text(answers["pair_id"], f"the column pair_id of {where}"))
    require_filled(answers, ["pair_id"], where)
    # Answers without an annotator are one person's: unique takes nulls for equal.
    last = answers.select("pair_id", gold=labels, who=who).unique(["pair_id", "who"], keep="last").drop_nulls("gold")
    # More than half: two against one decide, one against one is a tie, and so is one of each of three answers.
    most = [(pl.col("gold") == name).mean() > 0.5 for name in (CHOSEN, REJECTED)]
    decided = pl.when(most[0]).then(pl.lit(CHOSEN)).when(most[1]).then(pl.lit(REJECTED)).otherwise(pl.lit(TIE))
    return last.group_by("pair_id").agg(gold=decided).sort("pair_id")


def right(gold: pl.DataFrame) -> pl.DataFrame:
    """[pair_id, right] as 1 and 0: a label is right where a person found chosen better; a tie is not."""
    return gold.select("pair_id", right=(pl.col("gold") == CHOSEN).cast(pl.Float64))


def require_filled(rows: pl.DataFrame, columns: Sequence[str], where: str) -> None:
    """Raise InputError for an empty cell in these columns: rows without a name would all be taken for one."""
    for name in columns:
        if empty := rows[name].null_count():
            raise InputError(f"{where}: the column {name} has {empty} empty cells and may have none")


def as_text(values: pl.Series, where: str) -> pl.Series:
    """The values as text. InputError, which begins with `where`, for a column of lists, structs or bytes."""
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        raise InputError(
            f"{where} holds no text, numbers or truth values, but {values.dtype.base_type()}; name another"
        )
    return values.cast(pl.String)


def as_right(values: pl.Series, where: str) -> pl.Series:
    """True, False or null of the cells of a column `right`. InputError, which begins with `where`, for any other."""
    text = as_text(values, where).str.strip_chars().str.to_lowercase().replace({"": None})
    said = text.replace_strict(RIGHT, default=None, return_dtype=pl.Boolean)
    strange = text.filter(text.is_not_null() & said.is_null())
    if len(strange):
        raise InputError(f"{where} holds {strange[0]!r}; it takes true and false, or 1 and 0")
    return said


def _right(values: pl.Series, where: str) -> pl.Series:
    """chosen, rejected or null of the cells of a column `right`."""
    return as_right(values, where).replace_strict({True: CHOSEN, False: REJECTED}, default=None, return_dtype=pl.String)


def _read(values: pl.Series, where: str) -> pl.Series:
    """chosen, rejected, tie or null."""
    # Cells of a spreadsheet come with spaces, in capitals, and empty rather than null.
    text = as_text(values, where).str.strip_chars().str.to_lowercase().replace({"": None, _SKIPPED: None})
    label = text.replace_strict({**_ANSWERS, "true": CHOSEN, "false": REJECTED}, default=None)
    strange = text.filter(text.is_not_null() & label.is_null())
    if len(strange):
        known = "chosen or rejected, or 1 or 2, true or false, tie or skip"
        raise InputError(f"{where} holds {strange[0]!r}; labels are {known}")
    return label
