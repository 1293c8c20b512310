"""Columns that carry meaning end up in the pair, or the row is set aside with a reason; never another pair."""

import json

import polars as pl
import pytest

from factory.errors import InputError
from factory.readers import read_pairs, read_prompts
from factory.readers.layouts import LAYOUTS
from factory.readers.messages import ROLES
from factory.readers.names import SIDES
from tests.pairs import assistant, user
from tests.reading import read

REPLIES = {"chosen": "Tin.", "rejected": "Wood."}
SYSTEM = {"role": "system", "content": "Be brief."}
HI = user("Hi")


PROMPTS = {
    "question and context": ({"question": "Who?", "context": "A tale."}, [user("Who?\nA tale.")]),
    "instruction and input": ({"instruction": "Translate.", "input": "chat"}, [user("Translate.\nchat")]),
    "prompt and input": ({"prompt": "Translate.", "input": "chat"}, [user("Translate.\nchat")]),
    "query": ({"query": "Hi"}, [HI]),
    "instruction before prompt": ({"prompt": "chat", "instruction": "Translate."}, [user("Translate.\nchat")]),
    "prompt before problem": ({"problem": "1+1", "prompt": "Solve this."}, [user("Solve this.\n1+1")]),
    "instruction, question": ({"question": "chat", "instruction": "Translate."}, [user("Translate.\nchat")]),
    "a template and what it is filled with": ({"prompt": "Q: Hi\nA:", "question": "Hi "}, [user("Q: Hi\nA:")]),
    "system prompt": ({"system_prompt": "Be brief.", "prompt": "Hi"}, [SYSTEM, HI]),
    "blank system": ({"system": " ", "prompt": "Hi"}, [HI]),
    "blank system turn": ({"prompt": [{"role": "system", "content": ""}, HI]}, [HI]),
    "developer": ({"prompt": [{"role": "developer", "content": "Be brief."}, HI]}, [SYSTEM, HI]),
    "trajectory": ({"trajectory": [{"from": "user", "value": "Hi"}]}, [HI]),
    "conversation": ({"conversation": [HI]}, [HI]),
    "context of messages": ({"context": [HI]}, [HI]),
    "history of messages": ({"history": [HI, assistant("Yo")], "query": "Why?"}, [HI, assistant("Yo"), user("Why?")]),
    "rounds": ({"history": [["Hi", "Yo"]], "instruction": "Why?"}, [HI, assistant("Yo"), user("Why?")]),
    "a list of one text": ({"prompt": ["Hi"]}, [HI]),
    "chat template": (
        {"prompt": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"},
        [SYSTEM, HI],
    ),
    "a task of Self-Instruct": (
        {"instruction": "Translate.", "instances": [{"input": "chat", "output": "cat"}]},
        [user("Translate.\nchat")],
    ),
    "no pictures": ({"prompt": "Hi", "images": [], "tools": "[]"}, [HI]),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_what_belongs_to_a_prompt_is_in_it(name, tmp_path):
    given, prompt = PROMPTS[name]
    kept, rejected = read(tmp_path, {**given, **REPLIES})
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in kept] == [(prompt, "Tin.", "Wood.")], rejected
    kept, rejected = read(tmp_path, given, reader=read_prompts)
    assert [row["prompt"] for row in kept] == [prompt], rejected


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Binary, pl.Enum(["Hi"])])
def test_a_prompt_of_an_unusual_type_is_read(dtype):
    frame = pl.DataFrame({"prompt": ["Hi"], **{name: [text] for name, text in REPLIES.items()}})
    (pair,) = read_pairs(frame.cast({"prompt": dtype})).kept.collect().to_dicts()
    assert pair["prompt"] == [HI]


ASIDE = {
    "pictures": ({"prompt": "Hi", "images": ["a.png"]}, "not_text"),
    **{
        f"a picture in {name}": ({"prompt": "Hi", name: "a.png"}, "not_text")
        for name in ("image", "image_path", "imageUrl", "input_image", "photo", "screenshot_base64", "video_id")
    },
    "the place of a picture": ({"prompt": "<image>\nWhat is this?"}, "not_text"),
    "the place of a sound": ({"prompt": [user("What is this? <audio>")]}, "not_text"),
    "tools": ({"prompt": "Hi", "tools": [{"name": "f"}]}, "tool_turns"),
    "a list of several texts": ({"prompt": ["Hi", "Ho"]}, "not_text"),
}


@pytest.mark.parametrize("name", ASIDE)
def test_what_cannot_be_in_a_prompt_sets_the_row_aside(name, tmp_path):
    given, reason = ASIDE[name]
    kept, rejected = read(tmp_path, {**given, **REPLIES})
    assert (kept, [row["reason"] for row in rejected]) == ([], [reason])


def test_a_prompt_that_speaks_of_the_place_of_a_picture_is_a_text(tmp_path):
    kept, _ = read(tmp_path, {"prompt": "Is <image> a tag of SVG, or <img>?", **REPLIES})
    assert len(kept) == 1


def test_numbers_and_marks_that_are_called_as_pictures_are_none(tmp_path):
    kept, _ = read(
        tmp_path, {"prompt": "Hi", "image_id": 4, "input_image": False, "image_description": "A cat.", **REPLIES}
    )
    assert len(kept) == 1


@pytest.mark.parametrize(
    "name",
    [
        *("article", "options", "schema", "title", "background", "few_shot_examples", "premise"),
        *("option_a", "ans0", "choice3", "opa", "source_content"),
    ],
)
def test_a_column_that_may_belong_to_a_prompt_and_is_not_in_it_is_named_in_a_warning(name):
    frame = pl.DataFrame({"prompt": ["Hi"], name: ["A tale."], **{side: [text] for side, text in REPLIES.items()}})
    [warning] = read_pairs(frame).reading.parts[0].warnings
    assert warning == f"{name} is carried along, though by its name it may belong to the pair"


@pytest.mark.parametrize("name", ["context", "input"])
def test_an_object_beside_a_question_stays_there_with_a_warning(name, tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps({"instruction": "Hi", name: {"tool": {"rows": 3}}}))
    split = read_prompts(tmp_path / "x.jsonl")
    assert (split.kept["prompt"].to_list(), name in split.kept) == ([[HI]], True)
    (part,) = split.reading.parts
    assert part.columns["prompt"] == ("instruction",)
    assert part.warnings == (f"{name} is carried along, though by its name it may belong to the prompt",)


@pytest.mark.parametrize("prompt", ["messages", "conversations"])
@pytest.mark.parametrize("last", ["Tin.", "Another."])
def test_a_conversation_beside_two_whole_ones_may_hold_its_answer(prompt, last, tmp_path):
    row = {"instruction": "Hi", prompt: [HI, assistant(last)]}
    row |= {side: [HI, assistant(text)] for side, text in REPLIES.items()}
    kept, _ = read(tmp_path, row)
    assert [(one["prompt"], one["chosen"], one["rejected"]) for one in kept] == [([HI], "Tin.", "Wood.")]


def test_reasoning_stands_before_the_reply_and_tells_replies_apart(tmp_path):
    def said(thought, text):
        return [{"role": "assistant", "reasoning_content": thought, "content": text}]

    rows = [{"prompt": [HI], "chosen": said("Right.", "No."), "rejected": said("", "No.")}]
    wanted = ("<think>\nRight.\n</think>\n\nNo.", "No.")
    pl.DataFrame(rows).write_parquet(tmp_path / "x.parquet")
    for kept in (read(tmp_path, *rows)[0], read_pairs(tmp_path / "x.parquet").kept.collect().to_dicts()):
        assert [(row["chosen"], row["rejected"]) for row in kept] == [wanted]


def test_steps_taken_before_stay_with_both_replies(tmp_path):
    kept, _ = read(tmp_path, {"prompt": "Hi", "initial_reason_steps": "One.\n", **REPLIES})
    assert [(row["chosen"], row["rejected"]) for row in kept] == [("One.\nTin.", "One.\nWood.")]


@pytest.mark.parametrize(("name", "other"), SIDES)
def test_replies_are_found_under_every_name_known(name, other, tmp_path):
    kept, _ = read(tmp_path, {"input": "Hi", name: "Tin.", other: "Wood."})
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in kept] == [([HI], "Tin.", "Wood.")]


def test_names_of_columns_are_matched_without_case():
    frame = pl.DataFrame({"Prompt": ["Hi"], "Response_A": ["Wood."], "Response_B": ["Tin."], "WINNER": ["b"]})
    assert read_pairs(frame).kept.collect()["chosen"].to_list() == ["Tin."]
    frame = pl.DataFrame({"Prompt": ["Hi"], "Chosen": ["Tin."], "REJECTED": ["Wood."]})
    assert read_pairs(frame).kept.collect()["chosen"].to_list() == ["Tin."]


@pytest.mark.parametrize(
    ("talk", "beside"),
    [
        ("prompt", {"question": "1+1"}),
        ("prompt", {"conversations": [user("Hm")]}),
        ("messages", {"instruction": "Be brief"}),
    ],
)
def test_what_stands_beside_a_prompt_of_messages_and_is_not_in_it_stays_with_the_pair(talk, beside):
    """It had been told as a part of the prompt, was none, and was gone."""
    found = read_pairs(pl.DataFrame([{talk: [user("Solve: 1+1")], "chosen": "2", "rejected": "3", **beside}]))
    kept = found.kept.collect()
    assert kept["prompt"].to_list() == [[user("Solve: 1+1")]]
    assert kept.select(beside.keys()).to_dicts() == [beside]
    assert found.parts[0].columns["prompt"] == (talk,)


def test_so_it_does_where_the_pair_is_made_of_replies_with_scores():
    row = {"prompt": [user("Solve: 1+1")], "question": "1+1", "responses": ["2", "3"], "scores": [2.0, 1.0]}
    kept = read_pairs(pl.DataFrame([row])).kept.collect()
    assert kept.select("chosen", "question").rows() == [("2", "1+1")]


def test_a_file_that_fits_nothing_is_refused_in_a_sentence_that_can_be_read():
    with pytest.raises(InputError, match=r"id.*docs/formats\.md.*--columns") as caught:
        read_pairs(pl.DataFrame({"id": [1], "chosen": ["Tin."]}))
    assert len(str(caught.value)) < 800


def test_a_conversation_is_judged_up_to_its_turn(tmp_path):
    def talk(*replies):
        return [turn for n, reply in enumerate(replies) for turn in (user(f"Q{n}"), assistant(reply))]

    row = {"winner": "model_b", "turn": 1, "conversation_a": talk("Wood.", "x"), "conversation_b": talk("Tin.", "y")}
    kept, _ = read(tmp_path, row)
    assert [(pair["prompt"], pair["chosen"], pair["rejected"]) for pair in kept] == [([user("Q0")], "Tin.", "Wood.")]
    _, rejected = read(tmp_path, {**row, "turn": 2})
    assert [pair["reason"] for pair in rejected] == ["prompts_differ"]


def test_other_names_of_roles_lead_to_roles():
    assert set(ROLES.values()) == {"user", "assistant", "system"}
    assert len(LAYOUTS) == len({layout.about for layout in LAYOUTS.values()})
