"""Reading pairs from many inputs: ids, sources, the user's columns, and that every row is counted."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import InputError
from factory.identity import digest, pair_id, prompt_id
from factory.readers import load_pairs, read_pairs
from factory.schema import MESSAGES, PAIRS, REJECTED, SCORES, check, conform
from tests.pairs import pair, pairs, table, user

ROW = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
WHY = [user("Why?")]


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_own_pair_ids_are_kept_where_they_name_one_pair(tmp_path):
    rows = [{**ROW, "pair_id": "one"}, {**ROW, "chosen": "b", "pair_id": " "}, {**ROW, "chosen": "c"}]
    kept = load_pairs(jsonl(tmp_path / "x.jsonl", *rows))
    assert kept["pair_id"].to_list() == ["one", pair_id(WHY, "b", "No."), pair_id(WHY, "c", "No.")]
    numbers = load_pairs(jsonl(tmp_path / "y.jsonl", {**ROW, "pair_id": 7}))
    assert numbers["pair_id"].to_list() == [pair_id(WHY, "Because.", "No.")]
    assert numbers["given_pair_id"].to_list() == [7]


def test_copies_get_ids_of_their_own(tmp_path):
    """The first copy keeps the content hash; the n-th after it has digest([hash, n])."""
    content = pair_id(WHY, "Because.", "No.")
    once, thrice = jsonl(tmp_path / "a.jsonl", ROW), jsonl(tmp_path / "b.jsonl", ROW, ROW, {**ROW, "chosen": "c"})
    kept = load_pairs([once, thrice])
    wanted = [content, digest([content, 1]), digest([content, 2]), pair_id(WHY, "c", "No.")]
    assert kept["pair_id"].to_list() == wanted


def test_one_id_on_different_pairs_gives_way_to_their_content(tmp_path):
    one = jsonl(tmp_path / "a.jsonl", {**ROW, "pair_id": "1"}, {**ROW, "chosen": "b", "pair_id": "2"})
    two = jsonl(tmp_path / "b.jsonl", {**ROW, "chosen": "c", "pair_id": "1"}, {**ROW, "chosen": "b", "pair_id": "2"})
    kept = load_pairs([one, two])
    wanted = [pair_id(WHY, "Because.", "No."), "2", pair_id(WHY, "c", "No."), digest(["2", 1])]
    assert kept["pair_id"].to_list() == wanted


def test_an_id_that_is_the_hash_of_another_row_is_told_apart(tmp_path):
    content = pair_id(WHY, "Because.", "No.")
    rows = [
        {**ROW, "chosen": "x", "pair_id": content},
        ROW,
        {**ROW, "pair_id": "1"},
        {**ROW, "chosen": "y", "pair_id": "1"},
    ]
    kept = load_pairs(jsonl(tmp_path / "x.jsonl", *rows))
    assert kept["pair_id"].n_unique() == 4


def test_our_own_table_passes_through(tmp_path):
    made = pairs(6).with_columns(note=pl.lit("n"), logp_chosen_good=pl.lit(-1.5))
    made.write_parquet(tmp_path / "scores.parquet")
    split = read_pairs(tmp_path / "scores.parquet")
    assert split.kept.collect().equals(made)
    assert split.rejected.collect().height == 0
    assert load_pairs(made).equals(made)


def test_our_own_rejected_rows_keep_their_columns():
    made = table([pair(WHY, "same", "same", source="s", iteration=2), pair(WHY, "a", "b")])
    (row,) = read_pairs(made).rejected.collect().to_dicts()
    assert (row["filter"], row["reason"], row["pair_id"]) == ("read", "identical", made["pair_id"][0])
    assert (row["prompt"], row["chosen"], row["source"], row["iteration"]) == (WHY, "same", "s", 2)


def test_prompt_ids_are_content_hashes_whatever_the_file_says():
    made = table([pair(WHY, "a", "b"), pair(WHY, "c", "d")]).with_columns(prompt_id=pl.Series(["p1", "p2"]))
    kept = load_pairs(made)
    assert kept["prompt_id"].to_list() == [prompt_id(WHY)] * 2
    assert kept["given_prompt_id"].to_list() == ["p1", "p2"]


def test_source_and_iteration_are_each_input_s_own(tmp_path):
    first = jsonl(
        tmp_path / "web.jsonl", {**ROW, "source": "forum", "iteration": 2}, {**ROW, "chosen": "b", "source": None}
    )
    second = pl.DataFrame([{**ROW, "chosen": "c"}])
    kept = load_pairs([first, second, pairs(1, 1)])
    assert kept["source"].to_list() == ["forum", "web", None, "test"]
    assert kept["iteration"].to_list() == [2, None, None, 1]
    named = load_pairs([first, second], source="mine")
    assert named["source"].to_list() == ["forum", "mine", "mine"]


def test_columns_of_the_user_survive_beside_ours(tmp_path):
    row = {
        **ROW,
        "filter": "f",
        "reason": "r",
        "row": 1,
        "iteration": "two",
        "policy": ["p"],
        "source": 3,
        "score": 1,
        "given_row": "g",
    }
    kept = load_pairs(jsonl(tmp_path / "x.jsonl", row))
    check(kept, PAIRS)
    (got,) = kept.to_dicts()
    assert (got["given_filter"], got["given_reason"], got["given_given_row"], got["given_row"]) == ("f", "r", 1, "g")
    assert (got["given_iteration"], got["given_policy"], got["given_source"]) == ("two", ["p"], 3)
    assert (got["iteration"], got["policy"], got["source"], got["score"]) == (None, None, "x", 1)


def test_columns_of_the_user_may_have_other_types_in_each_file(tmp_path):
    one = jsonl(tmp_path / "a.jsonl", {**ROW, "n": 1, "m": 1, "meta": {"a": 1}, "talk": [user("Hi")]})
    two = pl.DataFrame([{**ROW, "chosen": "b", "n": 2.5, "m": "x", "meta": {"b": [2]}, "blob": b"\xff", "kind": "k"}])
    kept = load_pairs([one, two.cast({"kind": pl.Categorical})])
    assert kept.select("n", "m", "meta", "kind").rows() == [(1.0, "1", '{"a": 1}', None), (2.5, "x", '{"b":[2]}', "k")]
    assert kept["talk"].to_list() == [[user("Hi")], None]
    assert kept["blob"].to_list() == [None, b"\xff"]


def test_whole_numbers_of_any_width_serve():
    frame = pl.DataFrame(
        [{**ROW, "iteration": 3, "tokens_chosen": 5, "logp_chosen_good": -1.0, "finish_chosen": "stop"}]
    )
    narrow = frame.cast({"iteration": pl.UInt8, "logp_chosen_good": pl.Float32, "finish_chosen": pl.Categorical})
    kept = load_pairs(narrow)
    assert kept.select("iteration", "tokens_chosen", "logp_chosen_good", "finish_chosen").row(0) == (3, 5, -1.0, "stop")
    check(conform(kept, SCORES), SCORES)


def test_null_fields_of_messages_in_parquet_are_none(tmp_path):
    """Parquet gives every message every field: null tool calls are none, true ones reject the row, ids are dropped."""
    call = pl.List(pl.Struct({"id": pl.Int64}))
    turn = pl.Struct({"content": pl.String, "role": pl.String, "id": pl.Int64, "tool_calls": call})

    def talk(reply, calls=None):
        ask = {"role": "user", "content": "Hi", "id": 1, "tool_calls": None}
        return [ask, {"role": "assistant", "content": reply, "id": 2, "tool_calls": calls}]

    rows = {"chosen": [talk("a", []), talk("b", [{"id": 1}])], "rejected": [talk("c"), talk("d")]}
    frame = pl.DataFrame(rows, schema={"chosen": pl.List(turn), "rejected": pl.List(turn)})
    split = read_pairs(frame)
    assert split.kept.collect()["prompt"].to_list() == [[user("Hi")]]
    (bad,) = split.rejected.collect().to_dicts()
    assert bad["reason"] == "tool_turns"
    assert json.loads(bad["row"])["chosen"][1]["tool_calls"] == [{"id": 1}]


@pytest.mark.parametrize("in_memory", [True, False])
def test_contents_whose_parts_are_all_text_are_text(tmp_path, in_memory):
    def talk(*parts):
        return [{"role": "user", "content": list(parts)}, {"role": "assistant", "content": [part("Yes.")]}]

    def part(text, kind="text"):
        return {"type": kind, "text": text}

    rows = [talk(part("One"), part("two")), talk(part("Look:"), part(None, "image")), talk(part(None))]
    other = [{"role": "assistant", "content": [part("No.")]}]
    given = [{"chosen": row, "rejected": [row[0], *other]} for row in rows]
    file = tmp_path / ("x.parquet" if in_memory else "x.jsonl")
    if in_memory:
        pl.DataFrame(given).write_parquet(file)
    else:
        file.write_text("\n".join(map(json.dumps, given)))
    split = read_pairs(file)
    kept = split.kept.select("prompt", "chosen", "rejected").collect().rows()
    assert kept == [([user("One\ntwo")], "Yes.", "No.")]
    assert split.rejected.collect()["reason"].to_list() == ["not_text"] * 2


def test_rows_of_odd_types_are_shown_when_rejected():
    frame = pl.DataFrame({**{key: [value] for key, value in ROW.items()}, "rejected": ["Because."]}).with_columns(
        blob=pl.lit(b"\xff\x00"),
        blobs=pl.Series([[b"ok", b"\xff"]]),
        day=pl.lit("2024-01-02").str.to_date(),
        kind=pl.lit("k").cast(pl.Categorical),
        pair=pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)),
        price=pl.lit("1.50").cast(pl.Decimal(10, 2)),
        nothing=pl.lit(None),
    )
    (row,) = read_pairs(frame).rejected.collect().to_dicts()
    shown = json.loads(row["row"])
    assert (shown["blob"], shown["blobs"], shown["day"], shown["kind"]) == ("ff00", ["6f6b", "ff"], "2024-01-02", "k")
    assert (shown["pair"], shown["price"], shown["nothing"], shown["prompt"]) == ([1, 2], "1.50", None, "Why?")


def test_no_pairs_at_all_is_an_empty_table(tmp_path):
    pairs(1).clear().write_parquet(tmp_path / "kept.parquet")
    split = read_pairs(tmp_path / "kept.parquet")
    assert split.kept.collect().height == 0
    assert set(REJECTED.columns) <= set(split.rejected.collect().columns)
    same = load_pairs(pl.DataFrame([{**ROW, "rejected": "Because."}]))
    check(same, PAIRS)
    assert same.height == 0


def test_damage_inside_a_parquet_file_is_one_sentence(tmp_path):
    file = tmp_path / "x.parquet"
    pl.DataFrame([{**ROW, "chosen": f"{n} " * 50} for n in range(500)]).write_parquet(file, compression="uncompressed")
    data = bytearray(file.read_bytes())
    data[4:4000] = b"\xff" * 3996
    file.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read"):
        load_pairs(file)


def test_the_order_of_rows_and_files_changes_no_id(tmp_path):
    frame = pl.DataFrame([{**ROW, "chosen": f"c{n}"} for n in range(20)])
    forward = load_pairs([frame[:10], frame[10:]])
    backward = load_pairs([frame[10:][::-1], frame[:10][::-1]])
    assert sorted(forward["pair_id"]) == sorted(backward["pair_id"])


SOME = st.sampled_from(
    [None, "", " ", "a", "b", [], [user("Hi")], [user("Hi"), {"role": "assistant", "content": "a"}], 3]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({}, optional={"prompt": SOME, "chosen": SOME, "rejected": SOME}), max_size=6))
def test_every_row_is_kept_or_rejected(tmp_path_factory, rows):
    """Whatever the rows hold, each is in one of the two tables; a good row beside them keeps the file readable."""
    file = jsonl(tmp_path_factory.mktemp("any") / "x.jsonl", ROW, *rows)
    split = read_pairs(file)
    kept, rejected = split.kept.collect(), split.rejected.collect()
    assert kept.height + rejected.height == 1 + len(rows)
    check(kept, PAIRS)
    check(rejected, REJECTED)
    assert kept["pair_id"].n_unique() == kept.height
    assert kept.schema["prompt"] == MESSAGES
    assert kept.filter(pl.col("chosen").str.strip_chars() == pl.col("rejected").str.strip_chars()).height == 0
