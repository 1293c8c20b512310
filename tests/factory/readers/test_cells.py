import json

import datasets
import polars as pl
import pytest

from factory.readers import load_pairs

QUESTION = 'Is "it\'s" right?\nA path: C:\\dir, a brace: } {'


def said(role, content):
    return {"role": role, "content": content}


TURNS = [said("user", "Hello"), said("assistant", "Hi"), said("user", QUESTION)]
PAIR = {"prompt": TURNS, "chosen": "Yes.", "rejected": "[INST] \\d no"}
LAYOUTS = {
    "own": PAIR,
    "conversational": PAIR | {name: [said("assistant", PAIR[name])] for name in ("chosen", "rejected")},
    "implicit": {name: [*TURNS, said("assistant", PAIR[name])] for name in ("chosen", "rejected")},
    "sharegpt": {
        "conversations": [
            {"from": {"user": "human"}.get(turn["role"], "gpt"), "value": turn["content"]} for turn in TURNS
        ],
        "chosen": {"from": "gpt", "value": PAIR["chosen"]},
        "rejected": {"from": "gpt", "value": PAIR["rejected"]},
    },
    "parts": {
        "prompt": [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in TURNS],
        **{name: [said("assistant", [{"type": "text", "text": PAIR[name]}])] for name in ("chosen", "rejected")},
    },
    "request": {
        "input": {"messages": TURNS, "tools": []},
        "preferred_output": [said("assistant", PAIR["chosen"])],
        "non_preferred_output": [said("assistant", PAIR["rejected"])],
    },
    "alpaca": {
        "instruction": QUESTION,
        "history": [["Hello", "Hi"]],
        "chosen": PAIR["chosen"],
        "rejected": PAIR["rejected"],
    },
}


def as_json(row, path):
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()}
    pl.DataFrame([texts]).write_csv(path)


def by_datasets(row, path):
    datasets.Dataset.from_list([row]).to_csv(path)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("write", [as_json, by_datasets])
def test_messages_in_the_cells_of_a_csv_are_read_whoever_wrote_them(tmp_path, layout, write):
    write(LAYOUTS[layout], tmp_path / "x.csv")
    (pair,) = load_pairs(tmp_path / "x.csv").to_dicts()
    assert {name: pair[name] for name in PAIR} == PAIR


def test_texts_that_only_look_like_lists_stay_texts(tmp_path):
    rows = [("[1, 2]", "[a] b", "{}"), ('["x"]', "[{'a': 1}]", "[unclosed"), ("[" * 5000, "{" * 5000, "plain")]
    rows += [("[...]", "{1, 2}", "{(1, 2): 3}"), ("[b'x']", "[1j]", "[f(1), nan]")]
    pl.DataFrame(rows, schema=["prompt", "chosen", "rejected"], orient="row").write_csv(tmp_path / "x.csv")
    pairs = load_pairs(tmp_path / "x.csv")
    assert [(turns[-1]["content"], c, r) for turns, c, r in pairs.select("prompt", "chosen", "rejected").rows()] == rows
