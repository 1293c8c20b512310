"""Prompts from every file that holds some."""

import json

import polars as pl
import pytest

from factory.errors import InputError
from factory.identity import prompt_id
from factory.readers import read_prompts
from factory.schema import MESSAGES, REJECTED, check
from tests.pairs import assistant, pairs, user

SYSTEM = {"role": "system", "content": "Be brief."}
HI, WHY = user("Hi"), user("Why?")

FORMS = {
    "prompt": ({"prompt": "Hi"}, [HI]),
    "prompt with system": ({"prompt": "Hi", "system": "Be brief."}, [SYSTEM, HI]),
    "blank system": ({"prompt": "Hi", "system": " "}, [HI]),
    "prompt messages": ({"prompt": [SYSTEM, HI]}, [SYSTEM, HI]),
    "transcript": ({"prompt": "\n\nHuman: Hi\n\nAssistant:"}, [HI]),
    "instruction": ({"instruction": "Hi"}, [HI]),
    "instruction and input": ({"instruction": "Translate.", "input": "chat"}, [user("Translate.\nchat")]),
    "instruction, empty input": ({"instruction": "Hi", "input": ""}, [HI]),
    "question": ({"question": "Hi", "answer": "Hello"}, [HI]),
    "messages": ({"messages": [SYSTEM, HI]}, [SYSTEM, HI]),
    "messages with their reply": ({"messages": [HI, assistant("Hello")]}, [HI]),
    "messages, several turns": ({"messages": [HI, assistant("Hello"), WHY]}, [HI, assistant("Hello"), WHY]),
    "conversations": ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]}, [HI]),
    "system already there": ({"messages": [SYSTEM, HI], "system": "Other."}, [SYSTEM, HI]),
    "turns": ({"turns": ["Hi", "Now in rhyme."]}, [HI]),
    "pair": ({"prompt": "Hi", "chosen": "a", "rejected": "b"}, [HI]),
    "pair of equal replies": ({"prompt": "Hi", "chosen": "a", "rejected": "a"}, [HI]),
    "turns that are objects": ({"turns": [{"content": "Hi"}, {"content": "Ho"}]}, [HI]),
    "conversation": ({"conversation": [HI, assistant("Yo")], "turn": 1}, [HI]),
    "query": ({"query": "Hi"}, [HI]),
    "question and context": ({"instruction": "Hi", "context": "there", "response": "Yo"}, [user("Hi\nthere")]),
    "request": ({"custom_id": "1", "method": "POST", "body": {"model": "m", "messages": [SYSTEM, HI]}}, [SYSTEM, HI]),
    "question object": ({"question": {"id": "1", "full_text": "Hi"}}, [HI]),
    "tree": ({"message_tree_id": "t", "prompt": {"text": "Hi", "role": "prompter", "replies": []}}, [HI]),
    "root": ({"message_id": "1", "parent_id": None, "role": "prompter", "text": "Hi"}, [HI]),
    "arena": ({"conversation_a": [HI, assistant("a")], "conversation_b": [HI, assistant("b")], "winner": "tie"}, [HI]),
    "one reply": ({"prompt": "Hi", "chosen": "a"}, [HI]),
    "user and assistant": ({"user": "Hi", "assistant": "Yo"}, [HI]),
    "goal": ({"goal": "Hi", "target": "Sure"}, [HI]),
    "question_text": ({"question_text": "Hi", "gold": "Yo"}, [HI]),
}


def read(tmp_path, *rows):
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return read_prompts(file)


@pytest.mark.parametrize("name", FORMS)
def test_prompts_are_read_in_every_form(name, tmp_path):
    row, prompt = FORMS[name]
    split = read(tmp_path, row)
    assert split.rejected.height == 0, split.rejected.to_dicts()
    assert split.kept.schema["prompt"] == MESSAGES
    (got,) = split.kept.to_dicts()
    assert (got["prompt"], got["prompt_id"], got["source"]) == (prompt, prompt_id(prompt), "x")


@pytest.mark.parametrize("name", FORMS)
def test_a_system_message_beside_any_form_is_the_prompt_s(name, tmp_path):
    row, prompt = FORMS[name]
    own = prompt[0] == SYSTEM or "system" in row
    (got,) = read(tmp_path, {"system": SYSTEM["content"], **row}).kept.to_dicts()
    assert got["prompt"] == (prompt if own else [SYSTEM, *prompt])


IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
BAD = {
    "empty": ({"prompt": ""}, "empty_prompt"),
    "blank": ({"prompt": " \n\t"}, "empty_prompt"),
    "null": ({"prompt": None}, "empty_prompt"),
    "no messages": ({"messages": []}, "empty_prompt"),
    "no turns": ({"turns": []}, "empty_prompt"),
    "blank message": ({"messages": [user(" ")]}, "empty_prompt"),
    "only a reply": ({"messages": [assistant("Hello")]}, "empty_prompt"),
    "two users": ({"messages": [HI, WHY]}, "bad_roles"),
    "system last": ({"messages": [HI, SYSTEM]}, "bad_roles"),
    "system alone": ({"messages": [SYSTEM]}, "bad_roles"),
    "unknown role": ({"messages": [{"role": "narrator", "content": "x"}]}, "bad_roles"),
    "two replies": ({"messages": [HI, assistant("a"), assistant("b")]}, "bad_roles"),
    "tool": ({"messages": [HI, {"role": "tool", "content": "42"}]}, "tool_turns"),
    "image": ({"messages": [IMAGE]}, "not_text"),
    "no content": ({"messages": [{"role": "user", "content": None}]}, "not_text"),
    "a number": ({"prompt": 5}, "unreadable"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_prompt_is_set_aside_with_reason_and_row(name, tmp_path):
    row, reason = BAD[name]
    split = read(tmp_path, {"prompt": "fine", "messages": None}, {"messages": [user("good")]}, {"turns": ["x"]}, row)
    assert split.kept.height == 3
    check(split.rejected, REJECTED)
    (bad,) = split.rejected.to_dicts()
    assert (bad["filter"], bad["reason"], bad["source"]) == ("read", reason, "x")
    assert json.loads(bad["row"])


def test_of_a_tree_of_messages_the_roots_are_prompts(tmp_path):
    root = {"message_id": "1", "parent_id": None, "role": "prompter", "text": "Hi"}
    split = read(tmp_path, root, {**root, "message_id": "2", "parent_id": "1", "role": "assistant", "text": "Yo"})
    assert (split.kept["prompt"].to_list(), split.rejected["reason"].to_list()) == ([[HI]], ["not_a_root"])


def test_the_kinds_of_prompt_may_change_from_row_to_row(tmp_path):
    rows = [
        {"prompt": "a"},
        {"question": "b"},
        {"prompt": [user("c")]},
        {"instruction": "d", "input": "e"},
    ]
    assert [row[0]["content"] for row in read(tmp_path, *rows).kept["prompt"]] == ["a", "b", "c", "d\ne"]


def test_of_equal_prompts_one_is_kept(tmp_path):
    split = read(tmp_path, {"prompt": "Hi", "n": 1}, {"messages": [HI]}, {"prompt": "hi"}, {"prompt": "Hi", "n": 2})
    assert [row[0]["content"] for row in split.kept["prompt"]] == ["Hi", "hi"]
    assert split.rejected["reason"].to_list() == ["duplicate_prompt"] * 2
    again = read_prompts([pl.DataFrame({"prompt": ["Hi"]})] * 3)
    assert (again.kept.height, again.rejected.height) == (1, 2)


def test_each_line_of_text_is_a_prompt(tmp_path):
    file = tmp_path / "list.txt"
    file.write_bytes(b'\xef\xbb\xbfHi\r\n\n  Why? \nca\xe9\n{not json}\n{"a": "prompt"}\n')
    split = read_prompts(file)
    assert [row[0]["content"] for row in split.kept["prompt"]] == ["Hi", "Why?", "{not json}", '{"a": "prompt"}']
    assert split.kept["source"].to_list() == ["list"] * 4
    assert split.rejected.select("reason", "detail").rows() == [("unreadable", "line 4 is not UTF-8 text")]
    file.write_bytes(b"\n \n")
    with pytest.raises(InputError, match="it holds no line"):
        read_prompts(file)


def test_columns_of_the_user_follow_and_give_way(tmp_path):
    row = {"prompt": "Hi", "prompt_id": "q/1", "category": "small talk", "feature": "x", "portion": 3, "source": "web"}
    (got,) = read(tmp_path, row).kept.to_dicts()
    assert got["source"] == "web"
    assert got["category"] == "small talk"
    assert (got["given_prompt_id"], got["given_feature"], got["given_portion"]) == ("q/1", "x", 3)
    assert not {"feature", "portion"} & set(got)


def test_what_is_said_of_further_columns_is_what_becomes_of_them(tmp_path):
    """Beside a prompt they follow it; those of a pair that is read for its prompt do not."""
    for row, name, said in (
        ({"prompt": "Hi", "title": "t"}, "title", "carried along"),
        ({"prompt": "Hi", "chosen": "a", "rejected": "b", "title": "t"}, "title", "left aside"),
    ):
        found = read(tmp_path, row)
        assert (name in found.kept.columns) == (said == "carried along")
        lines = list(found.reading.lines())
        assert lines[0].endswith(f"; {said}: {name}")
        assert lines[1] == f"warning: {name} is {said}, though by its name it may belong to the prompt"


def test_our_own_prompts_read_back_without_a_second_id():
    made = read_prompts(pl.DataFrame({"prompt": ["Hi", "Why?"]})).kept
    assert read_prompts(made).kept.equals(made)


def test_pairs_give_each_prompt_once():
    split = read_prompts(pairs(5, 2))
    assert split.kept.columns == ["prompt_id", "prompt", "source"]
    assert (split.kept.height, split.rejected["reason"].to_list()) == (5, ["duplicate_prompt"] * 5)


def test_a_table_without_prompts_is_refused_with_its_columns(tmp_path):
    with pytest.raises(InputError, match=r"no column holds prompts; it has text \(text\), label \(number\), and needs"):
        read(tmp_path, {"text": "Hi", "label": 1})


def test_columns_that_may_be_prompts_are_none_beside_one(tmp_path):
    """A user may be the name of one, and a goal what a prompt is for."""
    (got,) = read(tmp_path, {"prompt": "Hi", "goal": "greet", "user": "Ann", "assistant": "Bob"}).kept.to_dicts()
    assert (got["prompt"], got["goal"], got["user"]) == ([HI], "greet", "Ann")
    with pytest.raises(InputError, match="no column holds prompts"):
        read(tmp_path, {"user": "Ann", "level": 3})


def test_a_template_that_holds_its_short_input_is_the_prompt_alone(tmp_path):
    """Of an instruction that is only said twice, a word of it may be the input as well."""
    filled, twice = "Name the colour.\n\nInput: sky\nOutput:", "Name the sky."
    rows = [{"instruction": filled[:16], "prompt": filled}, {"instruction": twice, "prompt": twice}]
    split = read(tmp_path, *({**row, "input": "sky"} for row in rows))
    assert [turns[0]["content"] for turns in split.kept["prompt"].to_list()] == [filled, "Name the sky.\nsky"]


def test_what_came_before_a_question_that_is_not_found_is_no_prompt(tmp_path):
    row = {"The question": "Why?", "Chat History": "User: Hi"}
    with pytest.raises(InputError, match="no column holds prompts; it has The question"):
        read(tmp_path, row)
    assert read(tmp_path, {"history": "Hi"}).kept["prompt"].to_list() == [[HI]]


def test_texts_are_prompts_where_the_file_is_called_so(tmp_path):
    row = json.dumps({"question_id": 1, "text": "Hi", "category": "generic"})
    (tmp_path / "questions.jsonl").write_text(row)
    (tmp_path / "answers.jsonl").write_text(row)
    assert read_prompts(tmp_path / "questions.jsonl").kept["prompt"].to_list() == [[HI]]
    with pytest.raises(InputError, match="no column holds prompts"):
        read_prompts(tmp_path / "answers.jsonl")


def test_ids_of_prompts_that_are_numbers_are_carried_along(tmp_path):
    split = read(tmp_path, {"prompt_id": 3, "prompt": "Hi"}, {"prompt_id": 4, "prompt": "Why?"})
    assert split.kept["given_prompt_id"].to_list() == [3, 4]


def test_a_null_prompt_is_an_empty_prompt_whatever_else_is_filled(tmp_path):
    """Not the question beside it; where a row of JSON has no such column at all, the question is the prompt."""
    beside = {"question": "Why?", "input": "sky"}
    for empty in (None, "", []):
        read_as = read(tmp_path, {"prompt": empty, **beside}, {"prompt": "Hi"}, {"question": "How?"})
        assert [turns[0]["content"] for turns in read_as.kept["prompt"].to_list()] == ["Hi", "How?"]
        assert read_as.rejected["reason"].to_list() == ["empty_prompt"]


def test_the_reading_says_what_the_prompt_is_made_of_and_what_is_left_aside(tmp_path):
    row = {"question": "Why?", "system_prompt": "Be brief.", "answer": "So.", "level": 3}
    reading = read(tmp_path, row, row, {"question": " "}).reading
    (part,) = reading.parts
    assert (part.layout, part.files) == ("prompts", (str(tmp_path / "x.jsonl"),))
    assert part.columns == {"prompt": ("question",), "system": ("system_prompt",)}
    assert part.aside == ("answer", "level")
    assert reading.set_aside == {"duplicate_prompt": 1, "empty_prompt": 1}
    assert list(reading.lines())[-1] == "the first prompt: '[system] Be brief. Why?'"
