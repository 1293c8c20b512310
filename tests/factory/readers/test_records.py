"""Records to frames: kinds that agree share a frame, and no value is lost."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.readers.cells.records import CHUNK, frames_of, value_of
from factory.readers.messages import PROBLEM, TURN, TURNS


def frames(*records):
    return frames_of({name: value_of(value) for name, value in record.items()} for record in records)


def test_each_kind_of_value_has_its_column_type():
    record = {
        "t": "x",
        "b": True,
        "i": 3,
        "f": 0.5,
        "big": 2**70,
        "n": None,
        "d": {"a": 1},
        "e": [],
        "l": ["x"],
        "o": [1],
    }
    (frame,) = frames(record)
    kinds = {"t": pl.String, "b": pl.Boolean, "i": pl.Int64, "f": pl.Float64, "big": pl.String, "n": pl.Null}
    assert dict(frame.schema) == {
        **kinds,
        "d": pl.String,
        "e": pl.List(pl.Null),
        "l": pl.List(pl.String),
        "o": pl.String,
    }
    assert frame.row(0) == ("x", True, 3, 0.5, str(2**70), None, '{"a": 1}', [], ["x"], "[1]")


def test_messages_of_both_spellings_are_turns():
    spoken = [{"from": "human", "value": "a"}, {"role": "Assistant", "content": "b"}, {"role": "tool", "content": "c"}]
    (frame,) = frames({"m": spoken, "one": {"from": "gpt", "value": "z"}, "h": [["q", "a"]]})
    assert dict(frame.schema) == {"m": TURNS, "one": TURN, "h": pl.List(pl.List(pl.String))}
    turns = frame["m"][0].to_list()
    assert [(turn["role"], turn["content"], turn[PROBLEM]) for turn in turns[:2]] == [
        ("user", "a", None),
        ("assistant", "b", None),
    ]
    assert (turns[2]["role"], turns[2][PROBLEM]) == ("tool", "tool_turns")


def test_numbers_become_floats_and_empty_lists_take_their_column_s_kind():
    (frame,) = frames(
        {"n": 1, "m": []}, {"n": 2.5, "m": [{"role": "user", "content": "x"}]}, {"n": None, "m": None}, {}
    )
    assert frame["n"].to_list() == [1.0, 2.5, None, None]
    assert frame["m"].list.len().to_list() == [0, 1, None, None]


def test_records_whose_types_disagree_go_to_frames_of_their_own():
    texts, lists = frames({"a": "x"}, {"a": ["y"]}, {"a": "z"}, {"b": 1})
    assert texts.to_dicts() == [{"a": "x", "b": None}, {"a": "z", "b": None}, {"a": None, "b": 1}]
    assert lists["a"].to_list() == [["y"]]


def test_chunks_of_records_join_to_one_frame(monkeypatch):
    monkeypatch.setattr("factory.readers.cells.records.CHUNK", 2)
    assert CHUNK > 2
    rows = [{"a": None}, {}, {"a": []}, {"b": 1}, {"a": [{"role": "user", "content": "x"}]}, {"b": 1.5}, {"a": []}]
    (frame,) = frames(*rows)
    assert frame["a"].list.len().to_list() == [None, None, 0, None, 1, None, 0]
    assert frame["b"].to_list() == [None, None, None, 1.0, None, 1.5, None]
    assert frame.schema["a"] == TURNS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), min_size=1, max_size=8))
def test_any_records_become_frames(records):
    made = frames(*records)
    assert sum(frame.height for frame in made) == len(records)
    filled = sum(value is not None for record in records for value in record.values())
    assert sum(frame.height - frame[name].null_count() for frame in made for name in frame.columns) == filled
