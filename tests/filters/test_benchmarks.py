import gzip
import json

import polars as pl
import pytest

from factory.errors import InputError
from filters.benchmarks import BenchmarkPrompt, read

ROWS = [{"prompt": "first"}, {"prompt": None}, {"prompt": "third"}]


def named(path):
    return [tuple(item) for item in read(path).items]


def test_text_has_a_prompt_per_line(tmp_path):
    (tmp_path / "b.txt").write_text("first\n\nthird\n")
    assert read(tmp_path / "b.txt").items == [BenchmarkPrompt("b.txt:1", "first"), BenchmarkPrompt("b.txt:3", "third")]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "json", "csv"])
def test_a_benchmark_is_read_from_every_kind_of_table(tmp_path, kind, packed):
    path = tmp_path / f"b.{kind}"
    if kind == "parquet":
        pl.DataFrame(ROWS).write_parquet(path)
    elif kind == "csv":
        path.write_text('prompt,id\nfirst,1\n"",2\nthird,3\n')
    else:
        path.write_text(json.dumps(ROWS) if kind == "json" else "\n".join(json.dumps(row) for row in ROWS) + "\n")
    if packed:
        raw, path = path.read_bytes(), tmp_path / f"b.{kind}.gz"
        path.write_bytes(gzip.compress(raw))
    assert named(path) == [(f"{path.name}:1", "first"), (f"{path.name}:3", "third")]


def test_every_way_to_write_a_prompt(tmp_path):
    rows = [
        {"instruction": "add", "input": "1 and 2", "prompt": None},
        {"question": "why?", "input": "no"},
        {"turns": ["one", "two"]},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "no"}]},
        {"prompt": [{"from": "human", "value": "hey"}, {"from": "gpt", "value": "no"}]},
    ]
    path = tmp_path / "b.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    expected = [(1, "add\n1 and 2"), (2, "why?"), (3, "one"), (3, "two"), (4, "hi"), (5, "hey")]
    assert named(path) == [(f"b.jsonl:{row}", text) for row, text in expected]
    (tmp_path / "b.json").write_text(json.dumps(["plain", "strings"]))
    assert [item.text for item in read(tmp_path / "b.json").items] == ["plain", "strings"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("b.jsonl", '{"text_a": 1}', "b.jsonl: row 1 has the columns text_a and none of prompt, instruction"),
        ("b.json", '{"prompt": "x"}', "b.json: must hold a list of prompts"),
        ("b.jsonl", "{", "b.jsonl: the benchmark prompts cannot be read"),
        ("b.parquet", "no parquet", "b.parquet: the benchmark prompts cannot be read"),
        ("b.txt", "\n\n", "b.txt: holds no prompt"),
    ],
)
def test_a_file_without_prompts_says_so(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as caught:
        read(tmp_path / name)
    assert sentence in str(caught.value)


def test_a_file_says_how_it_was_read(tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in [*ROWS, {"turns": ["one", "two"]}]))
    said = (
        "b.jsonl: benchmark prompts, prompt ← prompt or turns: 4 texts of 3 rows, 1 rows hold none; the first: 'first'"
    )
    assert str(read(path)) == said
    (tmp_path / "b.txt").write_text("first\n\nthird\n")
    assert (
        str(read(tmp_path / "b.txt"))
        == "b.txt: benchmark prompts, each row a prompt: 2 texts of 2 rows; the first: 'first'"
    )
