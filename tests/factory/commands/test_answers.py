"""Answers for evaluation tools: every turn asked with what was said before, in the tools' own files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from factory.commands.answers import answers
from factory.commands.export import export
from factory.config import Sampling
from factory.config.engines import ScriptedEngine
from factory.engines.base import Completion, Request
from factory.errors import ConfigError, EngineError, InputError
from factory.stages.answers import EvalQuestion, answer

ALPACA = [{"instruction": "Say a.", "dataset": "helpful_base", "output": "reference"}, {"instruction": "Say b."}]
MT = [
    {"question_id": 81, "category": "writing", "turns": ["First?", "And then?"]},
    {"question_id": 111, "category": "math", "turns": ["1 + 1?"]},
]


class Echo:
    """Answers with how many turns it saw and the last one; refuses what contains `refuse`."""

    identity = "echo"
    context_length = None

    def __init__(self) -> None:
        self.calls: list[list[Request]] = []

    def count_tokens(self, conversations: Sequence[Any]) -> list[int]:
        return [0 for _ in conversations]

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        self.calls.append(list(requests))
        for request in reversed(requests):
            last = request.messages[-1]["content"]
            refused = "refuse" in last
            text = None if refused else f"{len(request.messages)}: {last}"
            yield Completion(request.id, text, error="no" if refused else None)


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_turns_are_asked_with_what_was_said_and_in_one_call_each() -> None:
    engine = Echo()
    asked = [EvalQuestion("a/b", ("1", "2")), EvalQuestion("c", ("x",), 0.0), EvalQuestion("d", ("refuse", "2"))]
    found = answer(asked, engine, Sampling(temperature=0.5), seed=1)
    assert [one.replies for one in found] == [("1: 1", "3: 2"), ("1: x",), ()]
    assert [one.error for one in found] == [None, None, "no"]
    assert [len(call) for call in engine.calls] == [3, 1]
    assert engine.calls[1][0].messages == [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "1: 1"},
        {"role": "user", "content": "2"},
    ]
    assert [request.temperature for request in engine.calls[0]] == [0.5, 0.0, 0.5]
    assert len({request.seed for call in engine.calls for request in call}) == 4


def test_alpaca_eval_file(tmp_path: Path) -> None:
    asked = written(tmp_path / "alpaca.jsonl", ALPACA)
    (file,) = answers(asked, "alpaca_eval", tmp_path / "out", policy="my/Model", engine=ScriptedEngine())
    assert file == tmp_path / "out" / "model_outputs.json"
    first, second = json.loads(file.read_text())
    assert (first["instruction"], first["generator"], first["dataset"]) == ("Say a.", "Model", "helpful_base")
    assert set(second) == {"instruction", "output", "generator"}
    assert first["output"]
    assert first["output"] != "reference"


def test_mt_bench_file(tmp_path: Path) -> None:
    asked = written(tmp_path / "question.jsonl", MT)
    (file,) = answers(
        asked, "mt_bench", tmp_path / "out", policy="./runs/x policy", name="mine", engine=ScriptedEngine()
    )
    assert file == tmp_path / "out" / "model_answer" / "mine.jsonl"
    first, second = (json.loads(line) for line in file.read_text().splitlines())
    assert set(first) == {"question_id", "answer_id", "model_id", "choices", "tstamp"}
    assert (first["question_id"], first["model_id"]) == (81, "mine")
    assert len(first["choices"][0]["turns"]) == 2
    assert len(second["choices"][0]["turns"]) == 1


def test_the_same_call_again_asks_nothing_and_gives_the_same_bytes(tmp_path: Path) -> None:
    asked = written(tmp_path / "question.jsonl", MT)
    call = {"policy": "m", "engine": ScriptedEngine()}
    (file,) = answers(asked, "mt_bench", tmp_path / "out", **call)
    before, stamp = file.read_bytes(), file.stat().st_mtime_ns
    answers(asked, "mt_bench", tmp_path / "out", **call)
    assert file.stat().st_mtime_ns == stamp
    (other,) = answers(asked, "mt_bench", tmp_path / "other", **call)
    assert other.read_bytes() == before


def test_no_answer_at_all_is_an_error(tmp_path: Path) -> None:
    script = written(tmp_path / "script.jsonl", [{"error": "no room"}] * 2)
    asked = written(tmp_path / "alpaca.jsonl", ALPACA)
    with pytest.raises(EngineError, match="none of 2 questions: no room"):
        answers(asked, "alpaca_eval", tmp_path / "out", policy="m", engine=ScriptedEngine(script=str(script)))


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("alpaca_eval", [{"output": "x"}], "row 1 has no instruction or prompt"),
        ("alpaca_eval", [{"instruction": " "}], "row 1: the instruction is no text"),
        ("mt_bench", [MT[0], {"question_id": 5}], "row 2 has no turns"),
        ("mt_bench", [{"question_id": 5, "turns": "x"}], "row 1: turns is no list"),
        ("mt_bench", [MT[0], MT[0]], "the question 81 is there twice"),
    ],
)
def test_files_that_are_no_questions_are_named(name: str, rows: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        answers(written(tmp_path / "q.jsonl", rows), name, tmp_path / "out", policy="m", engine=ScriptedEngine())


def test_export_leads_there_and_wants_a_policy(tmp_path: Path) -> None:
    asked = written(tmp_path / "alpaca.jsonl", ALPACA)
    with pytest.raises(ConfigError, match="--policy MODEL and --out DIR"):
        export(asked, "alpaca_eval", tmp_path / "out")
    with pytest.raises(ConfigError, match="cannot be a file's name"):
        answers(asked, "alpaca_eval", tmp_path / "out", policy="m", name="../up")
