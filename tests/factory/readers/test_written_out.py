"""Texts that hold messages, lists or objects, or a chat template, are taken apart where that is certain."""

import json

import polars as pl
import pytest

from factory.readers import read_pairs
from tests.pairs import assistant, user
from tests.reading import read

REPLIES = {"chosen": "Tin.", "rejected": "Wood."}
SYSTEM = {"role": "system", "content": "Be brief."}
HI = user("Hi")


def test_messages_written_out_in_cells_are_messages_in_every_form(tmp_path):
    turns, reply = [SYSTEM, HI], [assistant("Tin.")]
    rows = {"prompt": [json.dumps(turns), "Hi"], "chosen": [json.dumps(reply), "Tin."], "rejected": ["[]", "Wood."]}
    rows["rejected"][0] = json.dumps([assistant("Wood.")])
    frame = pl.DataFrame(rows)
    frame.write_parquet(tmp_path / "x.parquet")
    frame.write_ndjson(tmp_path / "x.jsonl")
    frame.write_csv(tmp_path / "x.csv")
    for given in (frame, tmp_path / "x.parquet", tmp_path / "x.jsonl", tmp_path / "x.csv"):
        kept = read_pairs(given).kept.collect().sort(pl.col("prompt").list.len(), descending=True)
        assert kept["prompt"].to_list() == [turns, [HI]]
        assert set(kept.select("chosen", "rejected").rows()) == {("Tin.", "Wood.")}


TEMPLATED = {
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "llama 2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]",
    "llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "zephyr": "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n",
    "chatml, two rounds": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n"
    "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n",
    "helpsteer": "Hi\n<extra_id_1>Assistant\nYo\n<extra_id_1>User\nWhy?",
    "alpaca": "Below is an instruction that describes a task. Write a response.\n\n### Instruction:\nHi\n\n"
    "### Input:\nthere\n\n### Response:\n",
    "vicuna": "### Human: Hi\n### Assistant:",
    "vicuna 1.1, two rounds": "USER: Hi ASSISTANT: Yo</s>USER: Why? ASSISTANT:",
    "vicuna 1.1, on lines": "USER: Hi\nASSISTANT: ",
    "vicuna 1.1, with its opening": "A chat between a curious user and an AI. USER: Hi ASSISTANT:",
    "open assistant": "<|system|>Be brief.<|endoftext|><|prompter|>Hi<|endoftext|><|assistant|>",
    "phi 4": "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Hi<|im_end|>"
    "<|im_start|>assistant<|im_sep|>",
    "deepseek": "<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi<｜Assistant｜>",
    "deepseek, two rounds": "<｜User｜>Hi<｜Assistant｜>Yo<｜end▁of▁sentence｜><｜User｜>Why?<｜Assistant｜>",
    "command": "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>"
    "<|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    "gemma": "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
}
ROUNDS = [HI, assistant("Yo"), user("Why?")]
UNFOLDED = {
    "chatml, two rounds": ROUNDS,
    "deepseek, two rounds": ROUNDS,
    "helpsteer": ROUNDS,
    "alpaca": [user("Hi\nthere")],
    "vicuna": [HI],
    "vicuna 1.1, two rounds": ROUNDS,
    "vicuna 1.1, on lines": [HI],
    "vicuna 1.1, with its opening": [{"role": "system", "content": "A chat between a curious user and an AI."}, HI],
    "gemma": [HI],
}


@pytest.mark.parametrize("name", TEMPLATED)
def test_a_prompt_in_a_chat_template_is_taken_apart(name, tmp_path):
    kept, rejected = read(tmp_path, {"prompt": TEMPLATED[name], **REPLIES})
    assert [row["prompt"] for row in kept] == [UNFOLDED.get(name, [SYSTEM, HI])], rejected


def test_whole_conversations_in_a_chat_template_are_taken_apart(tmp_path):
    rows = {side: f"{TEMPLATED['chatml']}{reply}<|im_end|>\n" for side, reply in REPLIES.items()}
    kept, _ = read(tmp_path, rows)
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in kept] == [([SYSTEM, HI], "Tin.", "Wood.")]


def test_an_end_token_is_taken_off_a_reply_but_not_off_what_is_struck_out(tmp_path):
    row = {"prompt": "<s>[INST] Hi [/INST]", "chosen": " Tin. </s>", "rejected": "<s>Tin</s>"}
    ((pair,), _) = read(tmp_path, row)
    assert (pair["prompt"], pair["chosen"].strip(), pair["rejected"]) == ([HI], "Tin.", "<s>Tin</s>")


@pytest.mark.parametrize(
    "text",
    [
        "What does <|im_start|> mean?",
        "Go on with this: USER: Hi ASSISTANT: Yo",
        "Which role is ASSISTANT: in <|prompter|>?",
    ],
)
def test_a_text_that_speaks_of_a_template_is_left_as_it_is(text, tmp_path):
    kept, _ = read(tmp_path, {"prompt": text, **REPLIES})
    assert [row["prompt"] for row in kept] == [[user(text)]]


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ({"prompt": "SYSTEM: Be Ann.\nUSER: Hi\nAnn: Yo\nUSER: Why?"}, "1 texts in prompt hold SYSTEM:, as if"),
        ({"prompt": "User: Hi\\nAssistant: "}, "1 texts in prompt hold User:, as if"),
        ({"prompt": "Hi", "chosen": "<|ANSWER|>Tin."}, "1 texts in chosen hold <|…|>, as if"),
        (
            {"prompt": "A white thing is", "chosen": "A white thing is tin.", "rejected": "A white thing is wood."},
            "both replies of 1 rows begin with the whole text of their prompt",
        ),
    ],
)
def test_what_may_be_more_than_a_text_stays_one_with_a_warning(more, warned, tmp_path):
    kept, _ = read(tmp_path, {**REPLIES, **more})
    assert [(row["prompt"], row["chosen"]) for row in kept] == [([user(more["prompt"])], more.get("chosen", "Tin."))]
    (warning,) = read_pairs(tmp_path).parts[0].warnings
    assert warning.startswith(warned)


@pytest.mark.parametrize("prompt", ["Who is the User: a person?", "User: Hi\n\nAssistant:", "Is a <| b |> c?"])
def test_a_text_that_is_no_more_is_not_warned_of(prompt, tmp_path):
    read(tmp_path, {"prompt": prompt, **REPLIES})
    assert read_pairs(tmp_path).parts[0].warnings == ()


def test_text_before_a_transcript_is_the_systems_where_both_replies_have_it(tmp_path):
    talk = "\n\nHuman: Hi\n\nAssistant: "
    both = {"chosen": f"Be brief.{talk}Tin.", "rejected": f"Be brief.{talk}Wood."}
    kept, _ = read(tmp_path, both)
    assert [(row["prompt"], row["chosen"]) for row in kept] == [([SYSTEM, HI], "Tin.")]
    kept, _ = read(tmp_path, {"prompt": f"Be brief.{talk}", **REPLIES})
    assert [row["prompt"] for row in kept] == [[SYSTEM, HI]]
    kept, _ = read(tmp_path, {"prompt": f"What does this say?{talk}Yo.", **REPLIES})
    assert [row["prompt"] for row in kept] == [[user(f"What does this say?{talk}Yo.")]]


SAID = {"a": [HI, assistant("Tin.")], "b": [HI, assistant("Wood.")]}
NESTED = {
    "question": {"question": {"dataset": "x", "full_text": "Hi"}, "answer_0": "Tin.", "answer_1": "Wood.", "label": 0},
    "request": {
        "input": {"messages": [HI]},
        "preferred_output": [SAID["a"][1]],
        "non_preferred_output": [SAID["b"][1]],
    },
    "lists of replies": {"prompt": "Hi", "chosen": ["Tin."], "rejected": ["Wood."]},
    "conversations": {"conversation_a": SAID["a"], "conversation_b": SAID["b"], "winner": "model_a", "turn": 1},
    "rated conversations": {
        **{f"conv_{one.upper()}": turns for one, turns in SAID.items()},
        "conv_A_rating": 2.0,
        "conv_B_rating": 1.0,
    },
    "later turns": {
        **{f"conversation_{one}": [*turns, user("Why?"), assistant("So.")] for one, turns in SAID.items()},
        "winner": "model_a",
        "turn": 1,
    },
    "replies of messages": {"prompt": "Hi", "response_1": SAID["a"][1:], "response_2": SAID["b"][1:], "label": 1},
}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("form", ["jsonl", "json text", "csv"])
def test_what_is_nested_is_read_alike_when_it_is_written_out(name, form, tmp_path):
    row = NESTED[name]
    flat = {key: json.dumps(value) if isinstance(value, dict | list) else value for key, value in row.items()}
    if form == "csv":
        pl.DataFrame([flat]).write_csv(tmp_path / "x.csv")
        kept = read_pairs(tmp_path / "x.csv").kept.collect().to_dicts()
    else:
        kept, _ = read(tmp_path, row if form == "jsonl" else flat)
    assert [(one["prompt"], one["chosen"], one["rejected"]) for one in kept] == [([HI], "Tin.", "Wood.")]


@pytest.mark.parametrize("replies", ['["a", "b"]', '{"full_text": "a"}', '["a"] and more'])
def test_a_reply_that_is_json_itself_stays_as_it_is(replies, tmp_path):
    kept, _ = read(tmp_path, {"prompt": "As JSON", "chosen": replies, "rejected": '["c", "d"]'})
    assert [row["chosen"] for row in kept] == [replies]


def test_replies_that_are_all_json_are_left_and_said(tmp_path):
    rows = [{"prompt": "As JSON", "chosen": f'["a{n}", "b"]', "rejected": '["c", "d"]'} for n in range(3)]
    pl.DataFrame(rows).write_csv(tmp_path / "x.csv")
    [warning] = read_pairs(tmp_path / "x.csv").reading.parts[0].warnings
    assert (
        warning == "chosen and rejected are lists or objects written out as JSON in every row, and read as such texts"
    )
    pl.DataFrame([*rows, {"prompt": "In words", "chosen": "a", "rejected": "b"}]).write_csv(tmp_path / "y.csv")
    assert read_pairs(tmp_path / "y.csv").reading.parts[0].warnings == ()


PRINTED = {
    "lists": ("['Tin.', 'So.']", "['Wood.', \"It's so.\"]"),
    "lists of one": ("['Tin.']", "['Wood.', 'So.']"),
    "arrays of numpy's": ("['Tin.' 'So.'\n 'Or.']", "['Wood.' \"It's so.\"]"),
    "arrays of messages": (
        "[{'content': 'Hi', 'role': 'user'}\n {'content': 'Tin.', 'role': 'assistant'}]",
        "[{'content': 'Hi', 'role': 'user'}\n {'content': 'Wood.', 'role': 'assistant'}]",
    ),
    "objects": ('{"response": "Tin.", "model": "x"}', '{"response": "Wood.", "model": "y", "score": 1}'),
    "objects as Python prints them": ("{'text': 'Tin.', 'score': 2}", "{'text': 'Wood.', 'score': 1}"),
}


@pytest.mark.parametrize("name", PRINTED)
def test_replies_that_pandas_wrote_to_a_csv_file_are_no_texts(name, tmp_path):
    chosen, rejected = PRINTED[name]
    pl.DataFrame({"prompt": ["Hi"], "chosen": [chosen], "rejected": [rejected]}).write_csv(tmp_path / "x.csv")
    kept = read_pairs(tmp_path / "x.csv").kept.collect().to_dicts()
    assert [(one["prompt"], one["chosen"], one["rejected"]) for one in kept] == [([HI], "Tin.", "Wood.")]


SCORES = ("[1, 5]", "[1. 5.]", "[1 5]", "[1.5e0   5.0e+0]", "['1', '5']", "[1. 5. nan]", "[1.0 5.0 None]")
WRAPPED = ("[np.float64(1.0), np.float64(5.0)]", "[1.0, 5.0, nan]", "[Decimal('1.0'), Decimal('5')]")


@pytest.mark.parametrize("scores", [*SCORES, *WRAPPED, "array([1., 5.], dtype=float32)"])
@pytest.mark.parametrize("replies", ['["Wood.", "Tin."{}]', "['Wood.', 'Tin.'{}]", "['Wood.' 'Tin.'{}]"])
def test_candidates_that_pandas_wrote_to_a_csv_file_are_read(replies, scores, tmp_path):
    third = ", null" if "," in replies else " None"
    replies = replies.format(third if "nan" in scores or "None" in scores else "")
    pl.DataFrame({"prompt": ["Hi"], "responses": [replies], "scores": [scores]}).write_csv(tmp_path / "x.csv")
    kept = read_pairs(tmp_path / "x.csv").kept.collect().to_dicts()
    assert [(one["chosen"], one["rejected"]) for one in kept] == [("Tin.", "Wood.")]


@pytest.mark.parametrize("more", ["Timestamp('2024-01-01', tz='UTC')", "datetime.datetime(2024, 1, 1, 0, 0)", "null"])
def test_what_python_prints_beside_a_text_does_not_make_messages_a_text(more, tmp_path):
    kept, _ = read(tmp_path, {"prompt": f"[{{'role': 'user', 'content': 'Hi', 'at': {more}}}]", **REPLIES})
    assert [row["prompt"] for row in kept] == [[HI]]


@pytest.mark.parametrize(
    "torn", ["[{'role': 'user', 'content': 'H", "[{'role': user, 'content': Hi}]", '{"from": "gpt']
)
def test_messages_written_out_that_cannot_be_read_are_said(torn):
    (said,) = read_pairs(pl.DataFrame([{"prompt": torn, **REPLIES}])).parts[0].warnings
    assert said == "1 texts in prompt begin as messages written out, and cannot be read as such: they stay texts"


def test_the_speaker_before_a_reply_is_no_part_of_it(tmp_path):
    both = {side: f"Assistant: {text}" for side, text in REPLIES.items()}
    kept, _ = read(tmp_path, {"prompt": "\n\nHuman: Hi\n\n", **both})
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in kept] == [([HI], "Tin.", "Wood.")]
    quoted = "Assistant: So.\n\nHuman: Why?"
    kept, _ = read(tmp_path, {"prompt": "Hi", **REPLIES, "chosen": quoted})
    assert [row["chosen"] for row in kept] == [quoted]


def test_of_several_objects_none_is_taken_for_the_prompt(tmp_path):
    talk = [{"speaker": "user", "text": "Hi"}, {"speaker": "bot", "text": "Yo"}, {"speaker": "user", "text": "Why?"}]
    assert [row["reason"] for row in read(tmp_path, {"prompt": talk, **REPLIES})[1]] == ["not_text"]
    assert [row["prompt"] for row in read(tmp_path, {"prompt": talk[:1], **REPLIES})[0]] == [[HI]]


@pytest.mark.parametrize("text", ["\uf8ff\ue0f3a Yes", "u Human:", "a\n\nHuman", "\n\nHumanu: a", "\n\nAssistant"])
def test_no_text_of_a_dialogue_is_taken_for_a_turn_of_it(text):
    asked = f"\n\nHuman: Why {text}?\n\nAssistant:"
    both = {"chosen": f"{asked} a", "rejected": f"{asked} b"}
    (pair,) = read_pairs(pl.DataFrame([both])).kept.collect().to_dicts()
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ([user(f"Why {text}?")], "a", "b")
