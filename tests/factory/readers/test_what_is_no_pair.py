"""Rows that are no pair are set aside with a reason and as they came, and none is made up."""

import json
from typing import Any

import pytest

from factory.errors import InputError
from factory.readers import read_pairs
from tests.layouts import SYSTEM, TALK, TURNS, explicit, hh, implicit, plain, said, transcript
from tests.reading import read

SHARING = {"chosen": "Sure, here:\nChalk.", "rejected": "Sure, here:\nCheese."}
NO_PROMPT_IS_MADE_UP = {
    "a text of several words beside": [{**SHARING, "note": "Name a thing that is white."}],
    "an unknown list of messages": [{**SHARING, "talk": [{"role": "user", "content": "Hi"}]}],
    "a prompt that is a number": [{**SHARING, "prompt": 5}],
    "a source that is another text in each row": [{**SHARING, "source": f"Name {n} white things."} for n in range(2)],
    "most replies share no line": [SHARING, *({"chosen": f"a{n}", "rejected": f"b{n}"} for n in range(2))],
}


@pytest.mark.parametrize("name", NO_PROMPT_IS_MADE_UP)
def test_no_prompt_is_made_of_what_replies_share(name, tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(map(json.dumps, NO_PROMPT_IS_MADE_UP[name])))
    with pytest.raises(InputError, match=r"no pairs can be read from its columns.*--columns prompt="):
        read_pairs(file)


def test_where_rows_are_from_is_no_prompt(tmp_path):
    kept, _ = read(tmp_path, *({**SHARING, "source": "a forum of cooks", "id": n} for n in range(2)))
    assert [row["prompt"][0]["content"] for row in kept] == ["Sure, here:"] * 2


def test_an_object_that_holds_no_prompt_is_no_text(tmp_path):
    _, (rejected,) = read(tmp_path, {**SHARING, "question": {"id": 7}})
    assert rejected["reason"] == "not_text"


def test_a_null_prompt_is_empty_whatever_the_replies_share(tmp_path):
    rows = [{"prompt": None, **SHARING}, {"prompt": "Name a thing.", "chosen": "a", "rejected": "b"}]
    for some in (rows, rows[:1]):
        file = tmp_path / "x.jsonl"
        file.write_text("\n".join(map(json.dumps, some)))
        split = read_pairs(file)
        assert split.rejected.collect()["reason"].to_list() == ["empty_prompt"]
        assert split.kept.collect().height == len(some) - 1


U, A = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
TOOL, IMAGE = {"role": "tool", "content": "42"}, {"role": "user", "content": [{"type": "image"}]}
REASONS = {
    "prompts differ": ({"chosen": [U, A], "rejected": [{**U, "content": "Ho"}, A]}, "prompts_differ"),
    "prompt beside differs": ({"prompt": "Ho", "chosen": [U, A], "rejected": [U, said("No")]}, "prompts_differ"),
    "transcripts part early": (hh(TALK, "a", "b") | {"rejected": transcript(TURNS, "b")}, "prompts_differ"),
    "identical": (plain(TURNS, "same", " same\n"), "identical"),
    "empty chosen": (plain(TURNS, " ", "b"), "empty_chosen"),
    "empty rejected": (explicit(TURNS, "a", ""), "empty_rejected"),
    "only replies": ({"chosen": [A], "rejected": [said("No")]}, "empty_prompt"),
    "blank prompt": (plain([{"role": "user", "content": " \n"}], "a", "b"), "empty_prompt"),
    "tool turn": ({"chosen": [U, TOOL, A], "rejected": [U, TOOL, said("No")]}, "tool_turns"),
    "tool call": ({"chosen": [U, {**A, "tool_calls": [{"id": 1}]}], "rejected": [U, A]}, "tool_turns"),
    "image": ({"chosen": [IMAGE, A], "rejected": [IMAGE, said("No")]}, "not_text"),
    "user last": ({"chosen": [U, A, U], "rejected": [U, A, {**U, "content": "!"}]}, "bad_roles"),
    "replies by the user": (
        {"chosen": [U, {**U, "content": "a"}], "rejected": [U, {**U, "content": "b"}]},
        "bad_roles",
    ),
    "one reply by the user": ({"chosen": [U, A], "rejected": [U, {**U, "content": "b"}]}, "bad_roles"),
    "system in the middle": ({"chosen": [U, SYSTEM, A], "rejected": [U, SYSTEM, said("No")]}, "bad_roles"),
    "unknown role": (implicit([{"role": "x", "content": "y"}], "a", "b"), "bad_roles"),
}


@pytest.mark.parametrize("name", REASONS)
def test_what_is_no_pair_is_set_aside_with_reason_and_row(name, tmp_path):
    row, reason = REASONS[name]
    kept, rejected = read(tmp_path, row)
    assert (len(kept), len(rejected)) == (0, 1)
    assert rejected[0]["filter"] == "read"
    assert rejected[0]["reason"] == reason
    assert rejected[0]["source"] == "x"


@pytest.mark.parametrize(("good", "bad"), [(plain, "texts"), (implicit, "lists")])
def test_a_missing_reply_costs_its_row_alone(good, bad, tmp_path):
    gone: list[Any] = [None, ""] if bad == "texts" else [None, []]
    rows = [good(TURNS, "a", "b")]
    rows += [{**rows[0], side: value} for side in ("chosen", "rejected") for value in gone]
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    split = read_pairs(file)
    assert split.kept.collect().height == 1
    assert split.rejected.collect()["reason"].to_list() == ["empty_chosen"] * 2 + ["empty_rejected"] * 2


def test_the_rejected_row_is_there_as_it_came(tmp_path):
    row = {**plain(TURNS, "same", "same"), "note": {"deep": [1]}}
    _, (rejected,) = read(tmp_path, row)
    assert json.loads(rejected["row"]) == {**row, "note": json.dumps(row["note"])}
