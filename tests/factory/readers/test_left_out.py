"""What objects hold beside the texts that are read of them: told, and not lost where nothing is read of them."""

import json
from contextlib import suppress

import polars as pl
import pytest

from factory.errors import InputError
from factory.readers import how_to_read, read_pairs, read_prompts
from tests.pairs import assistant, user

SCORED = {"prompt": "Hi", "chosen": {"text": "Yo", "score": 4}, "rejected": {"text": "No", "score": 1}}
TALKS = {side: [user("Hi") | {"when": 3}, assistant(text)] for side, text in (("chosen", "Yo"), ("rejected", "No"))}
TOLD = {
    "replies": (SCORED, ("objects in chosen and rejected also hold score, which are left out",)),
    "conversations": (TALKS, ("objects in chosen and rejected also hold when, which are left out",)),
    "one side alone": (
        {"prompt": "Hi", "chosen": {"answer": "Yo", "chain_of_thought": "hm"}, "rejected": {"answer": "No"}},
        ("objects in chosen also hold chain_of_thought, which are left out",),
    ),
    "a prompt": (
        {"prompt": {"text": "Hi", "origin": "us"}, "chosen": "Yo", "rejected": "No"},
        ("objects in prompt also hold origin, which are left out",),
    ),
    "candidates": (
        {"prompt": "Hi", "completions": [{"text": "No", "score": 1, "critique": "x"}, {"text": "Yo", "score": 4}]},
        (
            "replies are told apart by score: the higher the better",
            "objects in completions also hold critique, which are left out",
        ),
    ),
    "nothing more": ({"prompt": [user("Hi")], "chosen": [assistant("Yo")], "rejected": [assistant("No")]}, ()),
    "nothing in it": ({"prompt": "Hi", "chosen": assistant("Yo") | {"refusal": None}, "rejected": assistant("No")}, ()),
}


def written(tmp_path, form, *rows):
    file = tmp_path / f"x.{form}"
    if form == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "csv":
        cells = [
            {name: cell if isinstance(cell, str) else json.dumps(cell) for name, cell in row.items()} for row in rows
        ]
        pl.DataFrame(cells).write_csv(file)
    else:
        pl.DataFrame(rows).write_parquet(file)
    return file


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("what", TOLD)
def test_what_objects_hold_beside_their_texts_is_told(what, form, tmp_path):
    row, said = TOLD[what]
    read = read_pairs(written(tmp_path, form, row))
    (pair,) = read.kept.collect().to_dicts()
    assert (pair["chosen"], pair["rejected"]) == ("Yo", "No")
    (part,) = read.reading.parts
    assert part.warnings == said


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("names", [("chosen", "rejected"), ("apt", "poor")])
def test_replies_that_are_objects_are_read_alike_in_columns_known_and_named(names, form, tmp_path):
    one, other = names
    file = written(tmp_path, form, {"prompt": "Hi", one: SCORED["chosen"], other: SCORED["rejected"]})
    read = read_pairs(file, how=how_to_read({"columns": {"chosen": one, "rejected": other}}))
    (pair,) = read.kept.collect().to_dicts()
    assert (pair["chosen"], pair["rejected"]) == ("Yo", "No")
    (part,) = read.reading.parts
    assert part.warnings == (f"objects in {one} and {other} also hold score, which are left out",)


@pytest.mark.parametrize(("letters", "told"), [("ABCD", [*"ABCD"]), ("AB", [])])
def test_the_choices_of_a_question_that_stand_beside_it_are_told(letters, told, tmp_path):
    row = {"question": "Which is a metal?", **dict(zip(letters, ["Tin", "Wood", "Wool", "Wax"], strict=False))}
    read = read_prompts(written(tmp_path, "csv", row))
    assert read.kept["prompt"].to_list() == [[user("Which is a metal?")]]
    (part,) = read.reading.parts
    assert part.warnings == tuple(f"{x} is carried along, though by its name it may belong to the prompt" for x in told)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_messages_of_a_prompt_hold_is_told_where_prompts_are_read(form, tmp_path):
    file = written(tmp_path, form, {"messages": [user("Hi") | {"weight": 1}]})
    (part,) = read_prompts(file).reading.parts
    assert part.warnings == ("objects in messages also hold weight, which are left out",)


def test_an_object_with_a_speaker_that_is_no_message_is_carried_along_whole(tmp_path):
    votes, who = [{"from": "ann", "score": 3}, {"from": "bob", "score": 2}], {"role": "expert", "level": 3}
    row = {"prompt": "Hi", "chosen": "Yo", "rejected": "No", "votes": votes, "who": who}
    (pair,) = read_pairs(written(tmp_path, "jsonl", row)).kept.collect().to_dicts()
    assert (json.loads(pair["votes"]), json.loads(pair["who"])) == (votes, who)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    "row",
    [
        {"ask": "Hi", "good": {"role": "a-model", "content": "Yo", "score": 1}, "bad": {"role": "b", "content": "No"}},
        {"ask": [{"role": "customer", "content": "Hi", "when": 3}], "good": "Yo", "bad": "No"},
    ],
)
def test_what_nobody_known_says_is_no_text_of_a_column_that_is_named(row, form, tmp_path):
    how = how_to_read({"columns": "prompt=ask,chosen=good,rejected=bad"})
    kept = 0
    with suppress(InputError):  # the whole file may be refused
        kept = read_pairs(written(tmp_path, form, row), how=how).kept.collect().height
    assert kept == 0


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("speaker", [{"role": "assistant"}, {"from": "a-model"}])
def test_candidates_that_name_who_speaks_keep_their_scores(speaker, form, tmp_path):
    replies = [speaker | {"content": "No", "score": 1}, speaker | {"content": "Yo", "score": 4}]
    (pair,) = read_pairs(written(tmp_path, form, {"prompt": "Hi", "responses": replies})).kept.collect().to_dicts()
    assert (pair["chosen"], pair["rejected"], pair["score_chosen"]) == ("Yo", "No", 4)
