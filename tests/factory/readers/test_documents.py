"""JSON documents of prompts, in the ways that people write them."""

import json

import pytest

from factory.errors import InputError
from factory.readers import read_prompts
from tests.pairs import assistant, user

HI, WHY = user("Hi"), user("Why?")
SAID = [{"id": 1, "prompt": "Hi", "note": "x"}, {"id": 2, "prompt": "Why?", "note": "y"}]
DOCUMENTS = {
    "texts": ["Hi", "Why?"],
    "texts under a name": {"prompts": ["Hi", "Why?"]},
    "texts beside what is said of them": {"version": 1, "queries": ["Hi", "Why?"], "tags": ["a"]},
    "conversations without a name": [[HI, assistant("Yo")], [WHY]],
    "prompts beside what is said of them": {"metadata": {"version": 1}, "prompts": SAID},
    "questions": {"version": 1, "items": [{"id": 1, "question": "Hi"}, {"id": 2, "question": "Why?"}]},
    "answers that name their prompts": {"config": {"seed": 3}, "responses": [{**row, "reply": "a"} for row in SAID]},
    "inputs and their targets": {
        "canary": "x",
        "examples": [{"input": "Hi", "target": "Yo"}, {"input": "Why?", "target": "So."}],
    },
    "by name": {"greeting": {"prompt": "Hi"}, "doubt": {"prompt": "Why?"}},
}


def read(tmp_path, document):
    file = tmp_path / "x.json"
    file.write_text(json.dumps(document))
    return read_prompts(file)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_prompts_are_found_wherever_they_stand_in_a_document(name, tmp_path):
    split = read(tmp_path, DOCUMENTS[name])
    assert split.kept["prompt"].to_list() == [[HI], [WHY]], split.rejected.to_dicts()


@pytest.mark.parametrize(
    "document",
    [
        {"version": 1, "tags": ["Hi", "Why?"]},
        {"prompts": "Hi"},
        {"name": "a check", "checks": [{"query": "rows[0].id", "type": "path"}]},
        {"version": 1, "files": [{"name": "a.json"}]},
        {"question_id": 81, "choices": [{"index": 0, "turns": ["An answer."]}]},
    ],
)
def test_nothing_else_in_a_document_is_a_prompt(document, tmp_path):
    with pytest.raises(InputError, match="no column holds prompts"):
        read(tmp_path, document)
