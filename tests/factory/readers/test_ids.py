"""The ids of whole columns are those of factory.identity."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.identity import pair_id, prompt_id
from factory.readers.pairs import read_pairs
from factory.readers.table import ids
from factory.readers.table.ids import pair_ids, prompt_ids, turns_json
from factory.schema import MESSAGES

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TURN = st.fixed_dictionaries({"role": TEXT, "content": TEXT})


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(TURN, max_size=3), TEXT, TEXT), min_size=1, max_size=4))
def test_ids_made_in_polars_are_those_made_in_python(rows):
    columns = {name: [row[place] for row in rows] for place, name in enumerate(("prompt", "chosen", "rejected"))}
    frame = pl.DataFrame(columns, schema={"prompt": MESSAGES, "chosen": pl.String, "rejected": pl.String})
    made = frame.select(
        one=prompt_ids(turns_json(pl.col("prompt"))),
        two=pair_ids(turns_json(pl.col("prompt")), pl.col("chosen"), pl.col("rejected")),
    )
    assert made["one"].to_list() == [prompt_id(prompt) for prompt, _, _ in rows]
    assert made["two"].to_list() == [pair_id(*row) for row in rows]


def test_ids_are_right_for_every_character_below_two_thousand():
    text = "".join(map(chr, range(2000)))
    frame = pl.DataFrame(
        {"prompt": [[{"role": "user", "content": text}]], "text": [text]}, schema_overrides={"prompt": MESSAGES}
    )
    (row,) = frame.select(pair_ids(turns_json(pl.col("prompt")), pl.col("text"), pl.col("text"))).rows()
    assert row == (pair_id([{"role": "user", "content": text}], text, text),)


def test_ids_are_right_beyond_one_slice_of_rows():
    frame = pl.DataFrame({"prompt": [[{"role": "user", "content": str(n)}] for n in range(20_000)]})
    made = frame.select(prompt_ids(turns_json(pl.col("prompt")))).to_series()
    assert made.n_unique() == 20_000
    assert made[19_999] == prompt_id([{"role": "user", "content": "19999"}])


def test_ids_are_made_of_rows_whose_first_piece_in_memory_was_filtered_away():
    rows = [([{"role": "user", "content": str(n)}], f"So {n}.", f"No {n}.") for n in range(10)]
    frames = [pl.DataFrame(part, ["prompt", "chosen", "rejected"], orient="row") for part in (rows[:3], rows[3:])]
    # So lie the late copies in a long file of JSON or CSV; polars' own `format` panics at them.
    late = pl.concat(frames, rechunk=False).filter(pl.int_range(10) > 2).lazy()
    made = pair_ids(turns_json(pl.col("prompt")), pl.col("chosen"), pl.col("rejected"))
    assert late.select(made=made).collect(engine="streaming")["made"].to_list() == [pair_id(*row) for row in rows[3:]]


def test_pairs_whose_ids_are_given_anew_are_read_without_a_join():
    rows = [{"prompt": f"Why {n % 6}?", "chosen": "So.", "rejected": "No."} for n in range(9)]
    kept = read_pairs([pl.DataFrame(rows)]).kept
    assert kept.collect()["pair_id"].n_unique() == len(rows)
    # Of a join polars held the texts of all rows where another column than the id was asked for.
    assert "JOIN" not in kept.explain()


def test_two_ids_of_one_hash_are_left_as_they_are(monkeypatch):
    hashes = pl.select(pl.lit("a").hash()).to_series()
    monkeypatch.setattr(ids, "_shared", lambda _frames: hashes)  # as if another id had the hash of this one
    rows = [{"pair_id": name, "prompt": name, "chosen": "So.", "rejected": "No."} for name in "ab"]
    assert read_pairs([pl.DataFrame(rows)]).kept.collect()["pair_id"].to_list() == ["a", "b"]
