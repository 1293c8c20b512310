"""Tables: checked at every border, conformed without losing a column."""

import polars as pl
import pytest

from factory import schema
from factory.errors import InputError
from factory.schema import JUDGMENTS, LOGPS, PAIRS, PROMPTS, REPLIES, SCORES, VIEWS, Table, check, conform
from tests.pairs import pairs

TABLES = [value for value in vars(schema).values() if isinstance(value, Table)]


def test_there_are_tables():
    assert {table.name for table in TABLES} >= {
        "prompts",
        "features",
        "contrast",
        "pairs",
        "scores",
        "judgments",
        "rejected",
    }


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_is_explained_and_an_empty_table_passes(table):
    assert all(column.meaning for column in table.columns.values())
    assert dict(table.empty().schema) == table.dtypes
    check(table.empty(), table)


def test_scores_hold_a_log_probability_per_reply_and_view():
    assert len(LOGPS) == len(REPLIES) * len(VIEWS) == 9
    assert set(SCORES.columns) == set(PAIRS.columns) | set(LOGPS)
    assert "logp_rejected_bad" in LOGPS


def test_a_missing_column_is_named_with_its_meaning():
    with pytest.raises(InputError, match=r"in x: the column chosen is missing; it must hold the preferred reply"):
        check(pairs(1).drop("chosen"), PAIRS, "in x")


def test_a_wrong_type_is_named():
    with pytest.raises(InputError, match="pairs: the column iteration is String and must be Int64"):
        check(pairs(1).cast({"iteration": pl.String}), PAIRS)
    with pytest.raises(InputError, match="the column prompt is"):
        check(pairs(1).lazy().with_columns(prompt=pl.lit("x")), PAIRS)


def test_a_forbidden_null_is_counted():
    frame = pairs(2).with_columns(chosen=pl.when(pl.int_range(pl.len()) == 0).then(pl.col("chosen")))
    with pytest.raises(InputError, match="the column chosen has 3 empty cells and may have none"):
        check(frame, PAIRS)
    check(pairs(2).with_columns(source=pl.lit(None, dtype=pl.String)), PAIRS)


def test_conform_orders_fills_and_keeps():
    frame = pl.DataFrame(
        {"note": ["n"], "portion": [1], "prompt_id": ["p"], "prompt": [[{"role": "user", "content": "x"}]]}
    )
    made = conform(frame.cast({"portion": pl.Int32}), PROMPTS)
    assert made.columns == [*PROMPTS.columns, "note"]
    assert made["source"].to_list() == [None]
    check(made, PROMPTS)
    assert conform(made, PROMPTS).equals(made)


def test_votes_may_be_missing_and_nothing_stands_for_them():
    assert JUDGMENTS.columns["vote"].nullable
    assert JUDGMENTS.columns["cost"].nullable
